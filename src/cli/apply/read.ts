/** Finds the YAML that `apply -f` names: a file, every file of a folder, or standard input. */
import { readdir, readFile, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { usageError } from '../exit.js';
import type { Io } from '../io.js';
import { KINDS } from './fields.js';
import { FOREIGN_KINDS } from './kserve/translate.js';
import { parseResources, type Resource } from './parse.js';

const ORDER: readonly string[] = [...KINDS, ...FOREIGN_KINDS];

/** Resources in the order in which they can be made: data and models before what needs them. */
export async function readResources(io: Io, sources: readonly string[]): Promise<Resource[]> {
  const found: Resource[] = [];
  for (const source of sources) {
    if (source === '-')
      found.push(...parseResources((await io.stdin()).toString('utf8'), 'standard input', process.cwd()));
    else
      for (const file of await filesOf(source))
        found.push(...parseResources(await text(file), file, resolve(dirname(file))));
  }
  const seen = new Map<string, Resource>();
  for (const resource of found) {
    const id = `${resource.kind}/${resource.name}`;
    // both say what an endpoint is, and would undo each other's work
    const what = resource.kind === 'InferenceService' ? `Endpoint/${resource.name}` : id;
    const before = seen.get(what);
    if (before) throw usageError(`${resource.where}: ${id} is described before, at ${before.where}`);
    seen.set(what, resource);
  }
  if (found.length === 0) throw usageError(`there are no resources in ${sources.join(', ')}`);
  return found.sort((a, b) => ORDER.indexOf(a.kind) - ORDER.indexOf(b.kind));
}

async function filesOf(source: string): Promise<string[]> {
  const facts = await stat(source).catch(() => undefined);
  if (!facts) throw usageError(`there is no file or folder ${source}`);
  if (!facts.isDirectory()) return [source];
  const names = (await readdir(source)).filter((name) => /\.(ya?ml)$/.test(name)).sort();
  if (names.length === 0) throw usageError(`the folder ${source} has no .yaml or .yml files`);
  return names.map((name) => join(source, name));
}

async function text(file: string): Promise<string> {
  return readFile(file, 'utf8').catch(() => {
    throw usageError(`cannot read the file ${file}`);
  });
}
