/**
 * Blobs in a folder that is this process's alone, bounded by their bytes: what was used longest ago goes first, never
 * what is being read. `blobs/<hash>` came there whole, by a rename; what an earlier process left is hashed before it is used.
 */
import { randomUUID } from 'node:crypto';
import { rmSync } from 'node:fs';
import { type FileHandle, mkdir, open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError, messageOf } from '../../errors.js';
import type { Log } from '../../log.js';
import { hashOf, hexOf, isDigest, listed, touch } from '../pod/blob-files.js';
import { Damaged, Incoming, type OpenBlob } from './incoming.js';

export interface BlobCacheOptions {
  readonly folder: string;
  readonly maxBytes: number;
  readonly log: Log;
}

/** A blob that stays here until it is released. */
export interface Held {
  readonly bytes: number;
  /** Whether it was here when it was asked for. */
  readonly found: boolean;
  /** From the byte at `start` on; fails before the last one if they turn out to be other bytes. */
  chunks(start: number): AsyncGenerator<Buffer>;
  /** To be called once. */
  release(): Promise<void>;
}

interface Kept {
  readonly bytes: number;
  readers: number;
  /** Undefined: it was left by an earlier process and not looked at since. */
  right: Promise<boolean> | undefined;
}

/** A draft with those who use its file: who writes it and who reads. */
interface Coming {
  readonly incoming: Incoming;
  readonly handle: FileHandle;
  users: number;
}

const CHUNK_BYTES = 256 * 1024;
/** A blob that came damaged so often in a row is told to be. */
const DAMAGED_AT_MOST = 3;

export class BlobCache {
  /** By digest, used longest ago first. */
  private readonly kept = new Map<string, Kept>();
  private readonly coming = new Map<string, Promise<Coming | undefined>>();
  private readonly damaged = new Map<string, number>();
  /** Of what is here and on its way. */
  private usedBytes = 0;

  private constructor(private readonly options: BlobCacheOptions) {}

  /** Over a folder, with what an earlier process left there. */
  static async over(options: BlobCacheOptions): Promise<BlobCache> {
    const cache = new BlobCache(options);
    await cache.findLeft().catch((error) => {
      throw new AppError('invalid', `cannot use --folder ${options.folder}: ${messageOf(error)}`);
    });
    return cache;
  }

  /** The blob, from here or by `source`, which is asked once however many want it. Undefined: there is no room for it. */
  async hold(digest: string, source: OpenBlob): Promise<Held | undefined> {
    const found = await this.find(digest);
    if (found) return found;
    // it came while what was here was found to be damaged
    if (this.kept.has(digest)) return this.hold(digest, source);
    // begun in a later turn: it takes itself out of the map when it fails, and must be in it by then
    const going = this.coming.get(digest) ?? Promise.resolve().then(() => this.begin(digest, source));
    this.coming.set(digest, going);
    const coming = await going;
    if (!coming) return undefined;
    // it was over, and closed, just now
    if (coming.users === 0) return this.hold(digest, source);
    coming.users++;
    const { incoming, handle } = coming;
    return {
      bytes: incoming.bytes,
      found: false,
      chunks: (start) => chunksOf(handle, start, incoming.bytes, (at) => incoming.readable(at)),
      release: () => done(coming),
    };
  }

  private async find(digest: string): Promise<Held | undefined> {
    const kept = this.kept.get(digest);
    if (!kept) return undefined;
    // from here on nobody removes it
    kept.readers++;
    this.kept.delete(digest);
    this.kept.set(digest, kept);
    const path = this.pathOf(digest);
    kept.right ??= hashOf(path).then(
      (hash) => hash === digest,
      () => false,
    );
    const handle = (await kept.right) ? await open(path).catch(() => undefined) : undefined;
    if (!handle) {
      kept.readers--;
      if (this.kept.get(digest) === kept) this.remove(digest, kept);
      return undefined;
    }
    void touch(path);
    return {
      bytes: kept.bytes,
      found: true,
      chunks: (start) => chunksOf(handle, start, kept.bytes, async () => kept.bytes),
      release: async () => {
        kept.readers--;
        await handle.close();
      },
    };
  }

  /** Begins to fetch; resolves when it may be read. */
  private async begin(digest: string, source: OpenBlob): Promise<Coming | undefined> {
    try {
      this.refuseDamaged(digest);
      const answer = await source(0);
      const bytes = Number(answer.headers['content-length'] ?? Number.NaN);
      if (answer.statusCode !== 200 || !Number.isSafeInteger(bytes) || !this.reserve(bytes)) {
        answer.destroy();
        this.coming.delete(digest);
        return undefined;
      }
      const draft = join(this.options.folder, 'drafts', randomUUID());
      const handle = await open(draft, 'wx+').catch((error) => {
        answer.destroy();
        this.usedBytes -= bytes;
        throw error;
      });
      const coming: Coming = { incoming: new Incoming(digest, bytes, handle, source), handle, users: 1 };
      void this.finish(digest, draft, coming, coming.incoming.fill(answer));
      return coming;
    } catch (error) {
      this.coming.delete(digest);
      throw error;
    }
  }

  private async finish(digest: string, draft: string, coming: Coming, filled: Promise<void>): Promise<void> {
    const { bytes } = coming.incoming;
    const began = performance.now();
    try {
      await filled;
      await rename(draft, this.pathOf(digest));
      this.kept.set(digest, { bytes, readers: 0, right: Promise.resolve(true) });
      this.damaged.delete(digest);
      this.options.log.info('fetched', { digest, bytes, ms: Math.round(performance.now() - began) });
      coming.incoming.whole();
    } catch (error) {
      await rm(draft, { force: true });
      this.usedBytes -= bytes;
      if (error instanceof Damaged) this.damaged.set(digest, (this.damaged.get(digest) ?? 0) + 1);
      this.options.log.warn('a blob did not come', { digest, error: messageOf(error) });
    }
    this.coming.delete(digest);
    await done(coming);
  }

  /** Whoever asks would ask for ever, since he never sees the whole of it. */
  private refuseDamaged(digest: string): void {
    if ((this.damaged.get(digest) ?? 0) < DAMAGED_AT_MOST) return;
    // it may have been mended when it is asked for again
    this.damaged.delete(digest);
    throw new Damaged(
      'invalid',
      `${digest} is damaged where it is kept: it came ${DAMAGED_AT_MOST} times with other bytes`,
    );
  }

  /** Makes room for so many bytes; false when what must stay leaves too little. */
  private reserve(bytes: number): boolean {
    const idle = [...this.kept].filter(([, { readers }]) => readers === 0);
    const idleBytes = idle.reduce((sum, [, kept]) => sum + kept.bytes, 0);
    if (this.usedBytes - idleBytes + bytes > this.options.maxBytes) return false;
    for (const [digest, kept] of idle) {
      if (this.usedBytes + bytes <= this.options.maxBytes) break;
      this.remove(digest, kept);
    }
    this.usedBytes += bytes;
    return true;
  }

  /** At once: the next one that comes under this name must not go with it. */
  private remove(digest: string, { bytes }: Kept): void {
    this.kept.delete(digest);
    this.usedBytes -= bytes;
    rmSync(this.pathOf(digest), { force: true });
  }

  private async findLeft(): Promise<void> {
    const [blobs, drafts] = [join(this.options.folder, 'blobs'), join(this.options.folder, 'drafts')];
    await rm(drafts, { recursive: true, force: true });
    for (const folder of [blobs, drafts]) await mkdir(folder, { recursive: true });
    for (const { name, bytes } of (await listed(blobs)).sort((a, b) => a.usedMs - b.usedMs)) {
      const digest = `sha256:${name}`;
      if (!isDigest(digest)) continue;
      this.kept.set(digest, { bytes, readers: 0, right: undefined });
      this.usedBytes += bytes;
    }
    for (const [digest, kept] of [...this.kept]) {
      if (this.usedBytes > this.options.maxBytes) this.remove(digest, kept);
    }
  }

  private pathOf(digest: string): string {
    return join(this.options.folder, 'blobs', hexOf(digest));
  }
}

async function done(coming: Coming): Promise<void> {
  coming.users--;
  if (coming.users === 0) await coming.handle.close();
}

/** `readable` says how far it may be read, once that is beyond a byte. */
async function* chunksOf(
  handle: FileHandle,
  start: number,
  bytes: number,
  readable: (at: number) => Promise<number>,
): AsyncGenerator<Buffer> {
  let at = start;
  do {
    const end = await readable(at);
    const chunk = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, end - at));
    const { bytesRead } = await handle.read(chunk, 0, chunk.length, at);
    if (bytesRead === 0 && at < bytes) throw new AppError('internal', `the file ends at byte ${at} of ${bytes}`);
    if (bytesRead > 0) yield chunk.subarray(0, bytesRead);
    at += bytesRead;
  } while (at < bytes);
}
