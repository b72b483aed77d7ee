import { readFile, writeFile } from 'node:fs/promises';
import { exists } from '../../src/platform/exists.js';

/** Puts a benchmark's result into a file, see `withSection`; a new file holds nothing else. */
export async function saveSection(file: string, name: string, text: string): Promise<void> {
  const before = (await exists(file)) ? await readFile(file, 'utf8') : '';
  await writeFile(file, withSection(before, name, text));
}

/** The document with this text between the benchmark's two markers; without markers, both are added at the end. */
export function withSection(document: string, name: string, text: string): string {
  const [begin, end] = [`<!-- ${name}:begin -->`, `<!-- ${name}:end -->`];
  const section = `${begin}\n\n${text.trim()}\n\n${end}`;
  const [from, to] = [lineOf(document, begin), lineOf(document, end)];
  if (from === -1 || to < from) return `${document.trimEnd()}\n\n${section}\n`.trimStart();
  return document.slice(0, from) + section + document.slice(to + end.length);
}

/** Where a marker stands alone on its line; one that prose speaks of is none. */
function lineOf(document: string, marker: string): number {
  if (document.startsWith(`${marker}\n`)) return 0;
  const at = `${document}\n`.indexOf(`\n${marker}\n`);
  return at === -1 ? -1 : at + 1;
}
