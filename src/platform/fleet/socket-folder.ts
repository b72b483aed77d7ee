import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isRunning } from '../processes.js';

/** Folders are named for the process that made them. */
const NAME = /^sluice-sockets-(\d+)-/;

/**
 * A new folder for Unix sockets, for this user alone. It lies in the system's folder for temporary files because the
 * kernel bounds a socket's path to 107 bytes, and data folders may be deep. What processes left there that were killed
 * is removed.
 */
export async function socketFolder(): Promise<string> {
  await mkdir(tmpdir(), { recursive: true });
  await sweep();
  return mkdtemp(join(tmpdir(), `sluice-sockets-${process.pid}-`));
}

async function sweep(): Promise<void> {
  for (const name of await readdir(tmpdir())) {
    const pid = Number(NAME.exec(name)?.[1]);
    // another user's folder cannot be removed, and is not ours to
    if (pid && !isRunning(pid)) await rm(join(tmpdir(), name), { recursive: true, force: true }).catch(() => {});
  }
}
