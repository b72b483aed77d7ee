import { randomUUID } from 'node:crypto';
import { type FileHandle, mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname, join, relative, resolve } from 'node:path';
import type { FileDraft, FileEntry, Files } from '../../core/files.js';
import { AppError } from '../../errors.js';
import { syncFolder } from './sync-folder.js';

/** Files in a folder. Written in its `tmp/`, synced and moved into place; what dies there is swept with half-done blobs. */
export class FolderFiles implements Files {
  private readonly root: string;

  constructor(folder: string) {
    this.root = resolve(folder);
  }

  async create(): Promise<FileDraft> {
    return LocalDraft.create(join(this.root, 'tmp'), async (path, name) => {
      const target = this.pathOf(name);
      const made = await mkdir(dirname(target), { recursive: true });
      await rename(path, target);
      // new folders are entries too: they survive a power failure only when their parents are synced
      const last = made === undefined ? dirname(target) : dirname(made);
      for (let folder = dirname(target); ; folder = dirname(folder)) {
        await syncFolder(folder);
        if (folder === last || folder === dirname(folder)) break;
      }
    });
  }

  async list(folder: string): Promise<FileEntry[]> {
    const found: FileEntry[] = [];
    const entries = await readdir(this.pathOf(folder), { recursive: true, withFileTypes: true }).catch(absent);
    for (const entry of entries ?? []) {
      if (!entry.isFile()) continue;
      const path = join(entry.parentPath, entry.name);
      const size = await stat(path).catch(absent);
      if (size) found.push({ name: relative(this.root, path), bytes: size.size });
    }
    return found.sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  async read(name: string): Promise<Buffer> {
    const bytes = await readFile(this.pathOf(name)).catch(absent);
    if (bytes) return bytes;
    throw new AppError('not_found', `there is no file ${name}`, { details: { file: name } });
  }

  private pathOf(name: string): string {
    return join(this.root, ...segmentsOf(name));
  }
}

/** The segments of a file's name; `invalid` for one that would lead elsewhere. */
export function segmentsOf(name: string): string[] {
  const segments = name.split('/');
  if (segments.every((segment) => segment !== '' && segment !== '.' && segment !== '..' && !segment.includes('\0')))
    return segments;
  throw new AppError('invalid', `${JSON.stringify(name.slice(0, 200))} is no name of a file`);
}

/** A draft on this machine's disk, and what gives it its name. */
export class LocalDraft implements FileDraft {
  private open = true;

  private constructor(
    private readonly path: string,
    private readonly handle: FileHandle,
    private readonly place: (path: string, name: string) => Promise<void>,
  ) {}

  static async create(folder: string, place: (path: string, name: string) => Promise<void>): Promise<LocalDraft> {
    await mkdir(folder, { recursive: true });
    const path = join(folder, randomUUID());
    return new LocalDraft(path, await open(path, 'wx', 0o640), place);
  }

  async append(bytes: Uint8Array): Promise<void> {
    await this.handle.writeFile(bytes);
  }

  async publish(name: string): Promise<void> {
    if (this.open) {
      await this.handle.sync();
      await this.close();
    }
    await this.place(this.path, name);
  }

  async discard(): Promise<void> {
    await this.close().catch(() => undefined);
    await rm(this.path, { force: true });
  }

  private async close(): Promise<void> {
    if (!this.open) return;
    this.open = false;
    await this.handle.close();
  }
}

/** For a read of what may not be there. */
function absent(error: unknown): undefined {
  if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
  throw error;
}
