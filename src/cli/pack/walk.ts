/** The files of a folder that are packed. */
import { createReadStream } from 'node:fs';
import { readdir, readFile, realpath, stat } from 'node:fs/promises';
import { basename, join, relative, sep } from 'node:path';
import { usageError } from '../exit.js';
import { ALWAYS_SKIPPED, IGNORE_FILE, type Ignore, parseIgnore } from './ignore.js';
import type { TarEntry } from './tar.js';

/** A file of the folder, and where it is on this machine. */
export interface FoundFile extends TarEntry {
  readonly file: string;
}

/** All files below a folder. Links are packed as what they point at, which must be inside the folder. */
export async function walkFolder(folder: string): Promise<FoundFile[]> {
  const root = await realpath(folder);
  const ignore = await readIgnore(root);
  const found: FoundFile[] = [];
  await visit(root, '', [root]);
  return found;

  async function visit(at: string, under: string, above: readonly string[]): Promise<void> {
    for (const entry of await readdir(at, { withFileTypes: true })) {
      if (ALWAYS_SKIPPED.has(entry.name)) continue;
      const path = under + entry.name;
      const file = join(at, entry.name);
      const isLink = entry.isSymbolicLink();
      // a link that is left out may point anywhere
      if (isLink && (ignore(path, false) || ignore(path, true))) continue;
      const target = isLink ? await linkTarget(root, file, path) : file;
      const facts = await stat(target);
      if (ignore(path, facts.isDirectory())) continue;
      if (facts.isDirectory()) {
        if (above.includes(target)) throw usageError(`${path} is a link to a folder that holds it`, ignoreHint(path));
        await visit(target, `${path}/`, [...above, target]);
      } else if (facts.isFile()) found.push(foundFile(path, target, facts));
      else throw usageError(`${path} is neither a file nor a folder`, ignoreHint(path));
    }
  }
}

/** One file on its own, packed under its own name or another. */
export async function singleFile(file: string, path = basename(file)): Promise<FoundFile> {
  return foundFile(path, file, await stat(file));
}

function foundFile(path: string, file: string, facts: { size: number; mode: number }): FoundFile {
  return {
    path,
    file,
    bytes: facts.size,
    executable: (facts.mode & 0o100) !== 0,
    open: () => createReadStream(file),
  };
}

async function linkTarget(root: string, file: string, path: string): Promise<string> {
  const target = await realpath(file).catch(() => undefined);
  if (target === undefined) throw usageError(`${path} is a link to nothing`, ignoreHint(path));
  const inside = relative(root, target);
  if (inside === '..' || inside.startsWith(`..${sep}`)) {
    throw usageError(
      `${path} is a link out of the folder, to ${target}`,
      `copy it into the folder, or name it in ${IGNORE_FILE}`,
    );
  }
  return target;
}

async function readIgnore(root: string): Promise<Ignore> {
  const text = await readFile(join(root, IGNORE_FILE), 'utf8').catch(() => '');
  return parseIgnore(text);
}

function ignoreHint(path: string): string {
  return `remove it, or leave it out with a line "${path}" in ${IGNORE_FILE}`;
}
