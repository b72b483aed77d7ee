import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Clock } from '../../clock.js';
import { isRunning, startedAt } from '../processes.js';

/** The environment variable that every process of an attempt inherits, also one that leaves its process group. */
export const MARKER = 'SLUICE_ATTEMPT_KEY';

/** A process of an attempt. Kernels without /proc show none: there only the process group holds an attempt together. */
export interface MarkedProcess {
  readonly pid: number;
  /** The marker's whole value. */
  readonly key: string;
}

/** What every key of one work folder begins with. */
export function keyPrefix(workFolder: string): string {
  return `${createHash('sha256').update(resolve(workFolder)).digest('hex').slice(0, 16)}/`;
}

/** The marker of one attempt run by this process: `<folder>/<job>/<attempt>/<owner's pid>.<owner's start>`. */
export function attemptKey(workFolder: string, jobId: string, attempt: number): string {
  return `${keyPrefix(workFolder)}${jobId}/${attempt}/${process.pid}.${startedAt(process.pid) ?? ''}`;
}

/** Whether the worker that started this attempt is still there. */
export function ownerLives(key: string): boolean {
  const owner = key.slice(key.lastIndexOf('/') + 1);
  const dot = owner.indexOf('.');
  const pid = Number(owner.slice(0, dot));
  return Number.isSafeInteger(pid) && pid > 0 && isRunning(pid) && startedAt(pid) === owner.slice(dot + 1);
}

/** Every running process, but this one, whose marker begins with `prefix`. */
export function findMarked(prefix: string): MarkedProcess[] {
  const entry = `${MARKER}=${prefix}`;
  return allPids().flatMap((pid) => {
    const environment = read(`/proc/${pid}/environ`);
    const at = environment?.startsWith(entry) ? 0 : (environment?.indexOf(`\0${entry}`) ?? -1) + 1;
    if (environment === undefined || (at === 0 && !environment.startsWith(entry))) return [];
    const end = environment.indexOf('\0', at);
    return [{ pid, key: environment.slice(at + MARKER.length + 1, end === -1 ? undefined : end) }];
  });
}

/**
 * Kills (SIGKILL) what carries a marker that begins with `prefix` and passes `condition`, again and again until none is
 * left, since a process may fork while it is looked for. Gives up after `boundMs`. Answers the keys that it met.
 */
export async function killMarked(
  prefix: string,
  clock: Clock,
  condition: (key: string) => boolean = () => true,
  boundMs = 10_000,
): Promise<Set<string>> {
  const met = new Set<string>();
  const deadline = clock.now() + boundMs;
  for (;;) {
    const found = findMarked(prefix).filter(({ key }) => condition(key));
    if (found.length === 0 || clock.now() > deadline) return met;
    for (const { pid, key } of found) {
      met.add(key);
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // ended meanwhile
      }
    }
    await clock.sleep(10);
  }
}

/**
 * MiB that a process group and the processes of `key` hold in memory: the sum of resident sizes. Only where that is more
 * than `allowedMb`, pages that several of them share are counted once (proportional sizes), where the kernel tells them.
 */
export function memoryOfAttempt(group: number, key: string, allowedMb: number): number {
  const escaped = new Set(findMarked(key).map(({ pid }) => pid));
  const members = allPids().filter((pid) => escaped.has(pid) || groupOf(pid) === group);
  const resident = members.map((pid) => residentKb(pid));
  const totalMb = sum(resident) / 1024;
  if (totalMb <= allowedMb) return totalMb;
  return sum(members.map((pid, at) => proportionalKb(pid) ?? resident[at] ?? 0)) / 1024;
}

function allPids(): number[] {
  try {
    const own = process.pid;
    return readdirSync('/proc').flatMap((name) => (/^\d+$/.test(name) && Number(name) !== own ? [Number(name)] : []));
  } catch {
    return [];
  }
}

function groupOf(pid: number): number | undefined {
  const text = read(`/proc/${pid}/stat`);
  // the name, in parentheses, may hold anything; behind it come state, parent, group
  return text === undefined ? undefined : Number(text.slice(text.lastIndexOf(')') + 2).split(' ')[2]);
}

function residentKb(pid: number): number {
  return Number(/^VmRSS:\s+(\d+)/m.exec(read(`/proc/${pid}/status`) ?? '')?.[1] ?? 0);
}

function proportionalKb(pid: number): number | undefined {
  const found = /^Pss:\s+(\d+)/m.exec(read(`/proc/${pid}/smaps_rollup`) ?? '')?.[1];
  return found === undefined ? undefined : Number(found);
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return undefined;
  }
}
