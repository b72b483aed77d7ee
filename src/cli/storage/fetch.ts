/** Brings what a storageUri names to this machine. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { usageError } from '../exit.js';
import type { Io } from '../io.js';

export interface Fetched {
  /** A file or folder. */
  readonly path: string;
  /** Removes what was made for it. */
  remove(): Promise<void>;
}

/** Local paths are of `folder`, and are used where they are. */
export async function fetchStorage(io: Io, uri: string, folder: string): Promise<Fetched> {
  if (/^file:\/\//i.test(uri)) return local(filePath(uri));
  if (!/^(https?|s3):\/\//i.test(uri)) return local(resolve(folder, uri));
  const target = await mkdtemp(join(tmpdir(), 'sluice-model-'));
  const remove = () => rm(target, { recursive: true, force: true });
  try {
    if (/^s3:/i.test(uri)) {
      const { fetchS3 } = await import('./s3.js');
      return { path: await fetchS3(io, uri, target), remove };
    }
    const { fetchHttp } = await import('./http.js');
    return { path: await fetchHttp(io, uri, target), remove };
  } catch (error) {
    await remove();
    throw error;
  }
}

function local(path: string): Fetched {
  return { path, remove: async () => {} };
}

function filePath(uri: string): string {
  try {
    return fileURLToPath(uri);
  } catch {
    throw usageError(`${uri} is no path of this machine; expected is file:///absolute/path`);
  }
}
