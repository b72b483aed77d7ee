/**
 * Models' files in a folder of this machine, which other pods may use at the same time: `blobs/<hash>` holds each file
 * once, `pods/<id>/` what one pod uses, as hard links to them. What is called by its hash came there whole, by a rename;
 * yet it is hashed again before it is used, since the machine may have failed and other programs can write there.
 */
import { randomUUID } from 'node:crypto';
import { copyFile, link, mkdir, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { AppError, messageOf } from '../../errors.js';
import { hashOf, hexOf, listed, touch } from './blob-files.js';
import { download } from './download.js';
import type { Gateway, ModelFile, PodModel } from './gateway.js';

export interface ModelStoreOptions {
  readonly folder: string;
  /** How many bytes may stay after use; undefined: all. */
  readonly maxBytes: number | undefined;
  readonly gateway: Gateway;
}

/** How a model came here. */
export interface Fetched {
  /** The folder of its files. */
  readonly path: string;
  readonly fetchedBytes: number;
  /** What was here already. */
  readonly foundBytes: number;
}

/** Files that are fetched at once. */
const AT_ONCE = 4;
/** A pod says so often that it lives; the folder of one that is silent for so long is removed. */
const ALIVE_EVERY_MS = 60_000;
const SILENT_MS = 10 * 60_000;

export class ModelStore {
  private readonly blobs: string;
  private readonly pods: string;
  /** What this pod uses. */
  private readonly own: string;

  constructor(private readonly options: ModelStoreOptions) {
    this.blobs = join(options.folder, 'blobs');
    this.pods = join(options.folder, 'pods');
    this.own = join(this.pods, randomUUID());
  }

  /** Has the model's files in a folder, fetching what is not here; they stay for as long as this process lives. */
  async fetch({ files }: PodModel): Promise<Fetched> {
    const path = join(this.own, 'model');
    for (const folder of [this.blobs, path]) {
      await mkdir(folder, { recursive: true }).catch((error) => {
        throw new AppError('invalid', `cannot use --models ${this.options.folder}: ${messageOf(error)}`);
      });
    }
    setInterval(() => void touch(this.own), ALIVE_EVERY_MS).unref();
    await this.makeRoom(files);
    const came = { fetchedBytes: 0, foundBytes: 0 };
    const waiting = [...files];
    const fetchSome = async () => {
      for (let file = waiting.shift(); file; file = waiting.shift()) {
        const found = await this.place(file, join(path, file.path));
        came[found ? 'foundBytes' : 'fetchedBytes'] += file.bytes;
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, fetchSome));
    return { path, ...came };
  }

  /** Puts a file into place. Answers whether its bytes were here. */
  private async place(file: ModelFile, path: string): Promise<boolean> {
    await mkdir(dirname(path), { recursive: true });
    const blob = join(this.blobs, hexOf(file.digest));
    // linked before it is read: from then on it is in use, and nobody removes it
    if ((await linked(blob, path)) && (await hashOf(path)) === file.digest) {
      await touch(blob);
      return true;
    }
    await rm(path, { force: true });
    const part = join(this.own, `part-${randomUUID()}`);
    await download(this.options.gateway, file, part);
    await linked(part, path);
    // also over one that is damaged, or that another pod fetched meanwhile
    await rename(part, blob);
    return false;
  }

  /** Removes what pods that are gone left, and of what nobody uses as much as these files need, used longest ago first. */
  private async makeRoom(files: readonly ModelFile[]): Promise<void> {
    for (const pod of await listed(this.pods)) {
      if (Date.now() - pod.usedMs > SILENT_MS) await rm(pod.path, { recursive: true, force: true });
    }
    const { maxBytes } = this.options;
    if (maxBytes === undefined) return;
    const wanted = new Map(files.map(({ digest, bytes }) => [join(this.blobs, hexOf(digest)), bytes]));
    const blobs = await listed(this.blobs);
    for (const { path } of blobs) wanted.delete(path);
    const keep = new Set(files.map(({ digest }) => join(this.blobs, hexOf(digest))));
    let excess = [...wanted.values(), ...blobs.map(({ bytes }) => bytes)].reduce(
      (sum, bytes) => sum + bytes,
      -maxBytes,
    );
    for (const { path, bytes, links } of blobs.sort((a, b) => a.usedMs - b.usedMs)) {
      if (excess <= 0) return;
      if (links > 1 || keep.has(path)) continue;
      await rm(path, { force: true });
      excess -= bytes;
    }
  }
}

/** Has the same bytes at another path; false when there are none. A copy where the file system has no links. */
async function linked(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to).catch(() => copyFile(from, to));
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return false;
    throw error;
  }
}
