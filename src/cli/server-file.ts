/** The file that describes a model server of somebody else's making, as `sluice models push --server` takes it. */
import { readFile } from 'node:fs/promises';
import { parseDocument } from 'yaml';
import { usageError } from './exit.js';

/** Its fields as they stand: the gateway checks them and names those that are wrong. */
export async function readServerFile(file: string): Promise<Readonly<Record<string, unknown>>> {
  const text = await readFile(file, 'utf8').catch(() => {
    throw usageError(`cannot read the file ${file}`);
  });
  const document = parseDocument(text);
  const [mistake] = document.errors;
  if (mistake) throw usageError(`${file} is no YAML: ${mistake.message}`);
  const server: unknown = document.toJS();
  if (typeof server !== 'object' || server === null || Array.isArray(server)) {
    throw usageError(`${file} is no map of fields, such as "url: http://127.0.0.1:8000"`);
  }
  return server as Readonly<Record<string, unknown>>;
}
