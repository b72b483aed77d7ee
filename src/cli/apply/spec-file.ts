/** Reads the `-f` file of a command that makes one resource: a whole document of it, or its spec alone. */
import { readFile } from 'node:fs/promises';
import { usageError } from '../exit.js';
import type { Session } from '../session.js';
import type { Kind } from './fields.js';
import { parseSpec } from './parse.js';

/** The spec, its fields checked as `apply` checks them. */
export async function readSpecFile(
  session: Session,
  file: string,
  kind: Kind,
): Promise<Readonly<Record<string, unknown>>> {
  if (file === '-') return parseSpec((await session.io.stdin()).toString('utf8'), 'standard input', kind);
  const text = await readFile(file, 'utf8').catch(() => {
    throw usageError(`cannot read the file ${file}`);
  });
  return parseSpec(text, file, kind);
}
