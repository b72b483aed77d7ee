import { createReadStream } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';
import type { SluiceClient } from '../../src/cli/client.js';

/** Registers the files of a folder as a version of a model and returns its number; a first environment takes minutes. */
export async function uploadFolder(client: SluiceClient, model: string, folder: string): Promise<number> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files: { path: string; digest: string }[] = [];
  for (const entry of entries) {
    if (!entry.isFile() || entry.parentPath.includes('__pycache__')) continue;
    const file = join(entry.parentPath, entry.name);
    const stream = { bytes: (await stat(file)).size, open: () => createReadStream(file) };
    const { body } = await client.post<{ digest: string }>('/api/v1/blobs', { stream });
    files.push({ path: relative(folder, file).split(sep).join('/'), digest: body.digest });
  }
  const options = { json: { files }, timeoutMs: 900_000 };
  const { body } = await client.post<{ version: number }>(`/api/v1/models/${model}/versions`, options);
  return body.version;
}
