/** Prints results as Markdown. */
import { cpus } from 'node:os';
import type { BenchmarkResult, Table } from '../benchmark.js';

/** The machine and the day, without which a figure says nothing. */
export function machine(): string {
  const cores = cpus();
  const model = cores[0]?.model.trim() ?? 'unknown processor';
  return `${cores.length} cores, ${model}; Node ${process.version}; ${new Date().toISOString().slice(0, 10)}`;
}

export function renderResult(name: string, { tables, notes }: BenchmarkResult): string {
  const parts = [`## ${name}`, machine(), ...tables.map(renderTable)];
  if (notes.length > 0) parts.push(notes.map((note) => `- ${note}`).join('\n'));
  return `${parts.join('\n\n')}\n`;
}

function renderTable({ title, columns, rows }: Table): string {
  const widths = columns.map((column, at) => Math.max(column.length, ...rows.map((row) => row[at]?.length ?? 0)));
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell, at) => (at === 0 ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at] ?? 0))).join(' | ')} |`;
  const rule = `|${widths.map((width, at) => (at === 0 ? '-'.repeat(width + 2) : `${'-'.repeat(width + 1)}:`)).join('|')}|`;
  return [`### ${title}`, '', line(columns), rule, ...rows.map(line)].join('\n');
}
