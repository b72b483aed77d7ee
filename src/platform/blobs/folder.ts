import { createHash, randomUUID } from 'node:crypto';
import { type FileHandle, mkdir, open, readdir, rename, rm, stat, unlink, utimes } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import type { Readable } from 'node:stream';
import type { Blobs, Digest, PutOptions } from '../../core/blobs.js';
import { AppError } from '../../errors.js';
import { hexOf, noSuchBlob } from './digest.js';
import { syncFolder } from './sync-folder.js';

/** What a put that died left behind is removed when it is older than this. */
const LEFTOVER_MS = 24 * 60 * 60 * 1000;

/**
 * Blobs as read-only files in a folder, `ab/cd/<64 hex digits>`. Bytes are written to `tmp/`, synced and moved into place,
 * so a file that has a blob's name is that blob, whole, even after a power failure.
 */
export class FolderBlobs implements Blobs {
  private constructor(private readonly root: string) {}

  /** Makes the folder when it is not there and sweeps what dead puts left more than a day ago. */
  static async open(folder: string): Promise<FolderBlobs> {
    const root = resolve(folder);
    await mkdir(join(root, 'tmp'), { recursive: true });
    const blobs = new FolderBlobs(root);
    await blobs.sweep();
    return blobs;
  }

  async put(source: AsyncIterable<Uint8Array>, options: PutOptions = {}): Promise<{ digest: Digest; bytes: number }> {
    if (options.expect !== undefined) hexOf(options.expect);
    const temporary = join(this.root, 'tmp', randomUUID());
    const file = await open(temporary, 'wx', 0o444).catch((error: unknown) => {
      throw this.explained(error);
    });
    try {
      const { digest, bytes } = await write(file, source, options);
      if (options.expect !== undefined && digest !== options.expect) {
        throw new AppError('invalid', `the bytes hash to ${digest}, not to ${options.expect}`, {
          details: { digest, expected: options.expect, bytes },
        });
      }
      await file.sync();
      await file.close();
      await options.onDigest?.(digest);
      await this.place(temporary, digest);
      return { digest, bytes };
    } catch (error) {
      await file.close().catch(() => undefined);
      await rm(temporary, { force: true });
      throw this.explained(error);
    }
  }

  async open(digest: Digest, start = 0): Promise<Readable> {
    try {
      const file = await open(this.pathOf(digest), 'r');
      return file.createReadStream({ start });
    } catch (error) {
      if (hasCode(error, 'ENOENT')) throw noSuchBlob(digest);
      throw error;
    }
  }

  async stat(digest: Digest): Promise<{ bytes: number } | undefined> {
    try {
      return { bytes: (await stat(this.pathOf(digest))).size };
    } catch (error) {
      if (hasCode(error, 'ENOENT')) return undefined;
      throw error;
    }
  }

  async delete(digest: Digest): Promise<void> {
    await rm(this.pathOf(digest), { force: true });
  }

  async localPath(digest: Digest): Promise<string> {
    if (!(await this.stat(digest))) throw noSuchBlob(digest);
    return this.pathOf(digest);
  }

  /** Says that the blob was used now, for `trim`. */
  async touch(digest: Digest): Promise<void> {
    const now = new Date();
    // it may be gone, or another user's: then its age is what it is
    await utimes(this.pathOf(digest), now, now).catch(() => undefined);
  }

  /** Removes the blobs that were used longest ago until the rest is within `maxBytes`; none used in the last `keepMs`. */
  async trim(maxBytes: number, keepMs: number): Promise<void> {
    const blobs: { path: string; bytes: number; usedMs: number }[] = [];
    for (const entry of await readdir(this.root, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile() || !/^[0-9a-f]{64}$/.test(entry.name)) continue;
      const path = join(entry.parentPath, entry.name);
      const found = await stat(path).catch(() => undefined);
      if (found) blobs.push({ path, bytes: found.size, usedMs: found.mtimeMs });
    }
    let excess = blobs.reduce((sum, blob) => sum + blob.bytes, 0) - maxBytes;
    for (const { path, bytes, usedMs } of blobs.sort((a, b) => a.usedMs - b.usedMs)) {
      if (excess <= 0 || Date.now() - usedMs < keepMs) return;
      await rm(path, { force: true });
      excess -= bytes;
    }
  }

  private pathOf(digest: Digest): string {
    const hex = hexOf(digest);
    return join(this.root, hex.slice(0, 2), hex.slice(2, 4), hex);
  }

  private async place(temporary: string, digest: Digest): Promise<void> {
    const path = this.pathOf(digest);
    if (await this.stat(digest)) {
      await unlink(temporary);
      return;
    }
    const shard = dirname(path);
    const made = await mkdir(shard, { recursive: true });
    await rename(temporary, path);
    await syncFolder(shard);
    // new folders are entries too: they survive a power failure only when their parents are synced
    if (made !== undefined) for (const above of [dirname(shard), this.root]) await syncFolder(above);
  }

  private async sweep(): Promise<void> {
    const folder = join(this.root, 'tmp');
    for (const name of await readdir(folder)) {
      const path = join(folder, name);
      const found = await stat(path).catch(() => undefined);
      if (found && Date.now() - found.mtimeMs > LEFTOVER_MS) await rm(path, { force: true });
    }
  }

  private explained(error: unknown): unknown {
    if (hasCode(error, 'ENOSPC') || hasCode(error, 'EDQUOT')) {
      return new AppError('not_ready', `the disk that holds ${this.root} is full; nothing of this blob was kept`, {
        details: { folder: this.root },
        cause: error,
      });
    }
    return error;
  }
}

async function write(
  file: FileHandle,
  source: AsyncIterable<Uint8Array>,
  { maxBytes, signal }: PutOptions,
): Promise<{ digest: Digest; bytes: number }> {
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const chunk of untilAborted(source, signal)) {
    bytes += chunk.byteLength;
    if (maxBytes !== undefined && bytes > maxBytes) {
      throw new AppError('too_large', `the blob is larger than ${maxBytes} bytes`, { details: { maxBytes } });
    }
    hash.update(chunk);
    await file.writeFile(chunk);
  }
  return { digest: `sha256:${hash.digest('hex')}`, bytes };
}

/** The same chunks; throws the signal's reason as soon as it aborts, even while the source gives nothing. */
async function* untilAborted(source: AsyncIterable<Uint8Array>, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
  if (!signal) {
    yield* source;
    return;
  }
  const iterator = source[Symbol.asyncIterator]();
  let abort = () => {};
  const aborted = new Promise<never>((_resolve, reject) => {
    abort = () => reject(signal.reason);
    if (signal.aborted) abort();
    else signal.addEventListener('abort', abort, { once: true });
  });
  let ended = false;
  try {
    for (;;) {
      const next = await Promise.race([iterator.next(), aborted]);
      if (next.done) {
        ended = true;
        return;
      }
      yield next.value;
    }
  } finally {
    signal.removeEventListener('abort', abort);
    // not awaited: a source that gives nothing may not end either
    if (!ended) void Promise.resolve(iterator.return?.()).catch(() => undefined);
  }
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
