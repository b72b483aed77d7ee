import { randomUUID } from 'node:crypto';
import { link, readFile, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { AppError } from '../../errors.js';
import type { Log } from '../../log.js';
import { commandLine, isRunning, startedAt } from '../processes.js';

const OWNER_FILE = 'owner.json';

interface Owner {
  readonly pid: number;
  readonly startedAt: string;
}

/**
 * Makes this process the one that may run the server of this folder; `conflict` while another one that still runs is.
 * Returns the release.
 */
export async function ownFolder(folder: string): Promise<() => Promise<void>> {
  const file = join(folder, OWNER_FILE);
  const text = JSON.stringify({ pid: process.pid, startedAt: startedAt(process.pid) ?? '' } satisfies Owner);
  for (let attempt = 0; attempt < 10; attempt++) {
    if (await writeOnce(file, text)) return () => rm(file, { force: true });
    const owner = await readOwner(file);
    if (owner && isRunning(owner.pid) && startedAt(owner.pid) === owner.startedAt) {
      throw new AppError('conflict', `the embedded Postgres in ${folder} is already run by process ${owner.pid}`, {
        details: { folder, pid: owner.pid },
      });
    }
    await rm(file, { force: true });
  }
  throw new AppError('conflict', `could not take the embedded Postgres in ${folder}: ${file} keeps coming back`);
}

/** Makes the file with its whole text at once; false when there already is one. */
async function writeOnce(file: string, text: string): Promise<boolean> {
  const draft = `${file}.${process.pid}-${randomUUID()}`;
  await writeFile(draft, text, { flag: 'wx', mode: 0o600 });
  try {
    await link(draft, file);
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false;
    throw error;
  } finally {
    await rm(draft, { force: true });
  }
}

async function readOwner(file: string): Promise<Owner | undefined> {
  try {
    return JSON.parse(await readFile(file, 'utf8')) as Owner;
  } catch {
    return undefined;
  }
}

/** What postmaster.pid says: the server's pid, and whether it accepts connections. Undefined when there is no file. */
export async function readPidFile(data: string): Promise<{ pid: number; ready: boolean } | undefined> {
  try {
    const lines = (await readFile(join(data, 'postmaster.pid'), 'utf8')).split('\n');
    return { pid: Number(lines[0]), ready: lines[7]?.trim() === 'ready' };
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

/**
 * Ends the server that a former life left running on this data folder, if there is one. Where the file only names a pid
 * that is somebody else's by now, it is made to say so, since Postgres would refuse to start; the rest of the file stays,
 * because Postgres finds the shared memory of surviving backends by it.
 */
export async function endFormerServer(data: string, log: Log): Promise<void> {
  const found = await readPidFile(data);
  if (!found || !Number.isInteger(found.pid) || found.pid <= 1) return;
  const { pid } = found;
  if (isPostgresOf(pid, data)) {
    log.warn('a Postgres of a former life still runs on this folder; stopping it', { pid, folder: data });
    for (const [signal, waitMs] of [
      ['SIGINT', 5_000],
      ['SIGQUIT', 5_000],
      ['SIGKILL', 5_000],
    ] as const) {
      signalQuietly(pid, signal);
      for (const end = Date.now() + waitMs; Date.now() < end && isPostgresOf(pid, data); ) await sleep(10);
      if (!isPostgresOf(pid, data)) return;
    }
    throw new AppError('internal', `a former Postgres (process ${pid}) on ${data} does not end`);
  }
  await disown(data, pid);
}

/** Postgres takes a lock file that names its own parent for stale; any other living pid it believes. */
async function disown(data: string, pid: number): Promise<void> {
  const file = join(data, 'postmaster.pid');
  const text = await readFile(file, 'utf8').catch(() => undefined);
  if (text === undefined || !text.startsWith(`${pid}\n`)) return;
  await writeFile(file, text.replace(/^\d+/, String(process.pid)));
}

function isPostgresOf(pid: number, data: string): boolean {
  if (!isRunning(pid)) return false;
  const command = commandLine(pid);
  if (command === undefined) return false;
  return basename(command.split(' ')[0] ?? '') === 'postgres' && command.includes(`-D ${data}`);
}

function signalQuietly(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // it ended between the look and the signal
  }
}
