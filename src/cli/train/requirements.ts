/** Reads pip requirement files into the lines that a job takes. */
import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { usageError } from '../exit.js';

/** The lines of a requirements file: comments gone, continued lines joined, `-r` files read in their place. */
export async function readRequirements(file: string, above: readonly string[] = []): Promise<string[]> {
  const path = resolve(file);
  if (above.includes(path)) throw usageError(`${file} includes itself`);
  const text = await readFile(path, 'utf8').catch(() => {
    throw usageError(`there is no requirements file ${file}`);
  });
  const lines: string[] = [];
  for (const { line, number } of logicalLines(text)) {
    const included = /^(?:-r|--requirement)[ =]\s*(.+)$/.exec(line)?.[1];
    if (included) lines.push(...(await readRequirements(resolve(dirname(path), included.trim()), [...above, path])));
    else if (/^(-e|--editable|-c|--constraint|\.{1,2}\/|\/|file:)/.test(line)) {
      throw usageError(
        `${file}:${number}: "${line}" names a file of this machine, which a job does not have`,
        'put the package into the code folder, or on an index',
      );
    } else lines.push(line);
  }
  return lines;
}

function logicalLines(text: string): { line: string; number: number }[] {
  const out: { line: string; number: number }[] = [];
  let joined = '';
  text.split(/\r?\n/).forEach((raw, at) => {
    const uncommented = raw.replace(/(^|\s)#.*$/, '');
    joined += uncommented;
    if (joined.endsWith('\\')) {
      joined = joined.slice(0, -1);
      return;
    }
    const line = joined.trim();
    joined = '';
    if (line !== '') out.push({ line, number: at + 1 });
  });
  return out;
}
