/** Files that are called by the hash of their bytes, in a folder of this machine. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readdir, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';

export interface Listed {
  readonly name: string;
  readonly path: string;
  readonly bytes: number;
  readonly usedMs: number;
  readonly links: number;
}

/** What lies in a folder; what goes meanwhile is left out. */
export async function listed(folder: string): Promise<Listed[]> {
  const names = await readdir(folder);
  const found = await Promise.all(
    names.map(async (name): Promise<Listed | undefined> => {
      const path = join(folder, name);
      const entry = await stat(path).catch(() => undefined);
      return entry && { name, path, bytes: entry.size, usedMs: entry.mtimeMs, links: entry.nlink };
    }),
  );
  return found.filter((entry) => entry !== undefined);
}

export async function hashOf(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path, { highWaterMark: 1024 * 1024 })) hash.update(chunk as Buffer);
  return `sha256:${hash.digest('hex')}`;
}

/** Says that it is used now. */
export async function touch(path: string): Promise<void> {
  const now = new Date();
  // another user's cannot be told; then its age is what it is
  await utimes(path, now, now).catch(() => undefined);
}

/** Whether a text is a digest, such as `sha256:` and 64 hex digits. */
export function isDigest(text: string): boolean {
  return /^sha256:[0-9a-f]{64}$/.test(text);
}

export function hexOf(digest: string): string {
  return digest.slice('sha256:'.length);
}

/** Writes all of a chunk at a position. */
export async function writeWhole(
  handle: { write(chunk: Buffer, at: number, length: number, position: number): Promise<{ bytesWritten: number }> },
  chunk: Buffer,
  position: number,
): Promise<void> {
  for (let at = 0; at < chunk.length; ) {
    const { bytesWritten } = await handle.write(chunk, at, chunk.length - at, position + at);
    at += bytesWritten;
  }
}
