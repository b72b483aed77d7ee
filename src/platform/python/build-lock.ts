import { randomUUID } from 'node:crypto';
import { link, readFile, rename, rm, stat, unlink, writeFile } from 'node:fs/promises';
import { isRunning, startedAt } from '../processes.js';

/** How old the mark of a takeover may be, in milliseconds, before its maker counts as dead: a takeover takes a few. */
const TAKEOVER_BOUND_MS = 30_000;

/**
 * Tries to become the one holder, over all processes of this machine, of the lock file at `path`, which names its holder
 * by pid and start time. A dead holder's lock is taken over. False when somebody alive holds it.
 */
export async function tryLock(path: string): Promise<boolean> {
  const own = `${path}.${randomUUID()}`;
  // written first and linked then, so that nobody ever reads a lock without a holder
  await writeFile(own, holder());
  try {
    if (await exclusively(() => link(own, path))) return true;
    const found = await readFile(path, 'utf8').catch(() => undefined);
    if (found === undefined || lives(found)) return false;
    return await takeOver(path, own, found);
  } finally {
    await rm(own, { force: true });
  }
}

/** Gives the lock back. */
export async function unlock(path: string): Promise<void> {
  await rm(path, { force: true });
}

/** Only who makes the mark may replace the dead holder's lock, and only while it is still that holder's. */
async function takeOver(path: string, own: string, dead: string): Promise<boolean> {
  const mark = `${path}.takeover`;
  if (!(await exclusively(() => writeFile(mark, '', { flag: 'wx' })))) {
    const made = await stat(mark).catch(() => undefined);
    if (made && Date.now() - made.mtimeMs > TAKEOVER_BOUND_MS) await rm(mark, { force: true });
    return false;
  }
  try {
    if ((await readFile(path, 'utf8').catch(() => undefined)) !== dead) return false;
    await rename(own, path);
    return true;
  } finally {
    await unlink(mark).catch(() => {});
  }
}

function holder(): string {
  return JSON.stringify({ pid: process.pid, startedAt: startedAt(process.pid) ?? '' });
}

function lives(text: string): boolean {
  try {
    const parsed: unknown = JSON.parse(text);
    if (typeof parsed !== 'object' || parsed === null || !('pid' in parsed) || !('startedAt' in parsed)) return false;
    const { pid } = parsed;
    return typeof pid === 'number' && isRunning(pid) && (startedAt(pid) ?? '') === parsed.startedAt;
  } catch {
    return false;
  }
}

async function exclusively(create: () => Promise<void>): Promise<boolean> {
  try {
    await create();
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false;
    throw error;
  }
}
