/** Prints results as Markdown. */
import { spawnSync } from 'node:child_process';
import { cpus } from 'node:os';
import type { BenchmarkResult, Table } from '../benchmark.js';

/** The machine, the version and the day, without which a figure says nothing. */
export function machine(): string {
  const cores = cpus();
  const model = cores[0]?.model.trim() ?? 'unknown processor';
  const day = new Date().toISOString().slice(0, 10);
  return [`${cores.length} cores, ${model}`, `Node ${process.version}`, ...commit(), day].join('; ');
}

/** The commit that is measured, and whether what is measured differs from it; nothing outside a checkout. */
function commit(): string[] {
  const git = (...args: string[]) => spawnSync('git', args, { encoding: 'utf8' });
  const { status, stdout } = git('rev-parse', '--short', 'HEAD');
  if (status !== 0) return [];
  const changed = git('status', '--porcelain', '--untracked-files=no').stdout.trim() !== '';
  return [`commit ${stdout.trim()}${changed ? ' with changes' : ''}`];
}

export function renderResult(name: string, { tables, notes, notRun }: BenchmarkResult): string {
  const parts = [`## ${name}`, machine(), ...tables.map(renderTable)];
  const lines = [...notes, ...notRun.map((what) => `not run: ${what}`)];
  if (lines.length > 0) parts.push(lines.map((line) => `- ${line}`).join('\n'));
  return `${parts.join('\n\n')}\n`;
}

export function renderTable({ title, columns, rows }: Table): string {
  const widths = columns.map((column, at) => Math.max(column.length, ...rows.map((row) => row[at]?.length ?? 0)));
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell, at) => (at === 0 ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at] ?? 0))).join(' | ')} |`;
  const rule = `|${widths.map((width, at) => (at === 0 ? '-'.repeat(width + 2) : `${'-'.repeat(width + 1)}:`)).join('|')}|`;
  return [`### ${title}`, '', line(columns), rule, ...rows.map(line)].join('\n');
}
