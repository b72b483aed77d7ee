/** Processor time and memory out of Linux's /proc. */
import { readdirSync, readFileSync } from 'node:fs';

/** The kernel's clock ticks are of 10 ms on every Linux that Node runs on. */
const TICKS_PER_SEC = 100;

/** User and system time of these processes and of their children that ended, in seconds; one that is gone counts 0. */
export function cpuSeconds(pids: readonly number[]): number {
  let ticks = 0;
  for (const pid of pids) for (const field of statFields(pid)?.slice(11, 15) ?? []) ticks += Number(field);
  return ticks / TICKS_PER_SEC;
}

export interface Memory {
  readonly processes: number;
  /** Resident memory; pages that several processes share count in each of them. */
  readonly rssMb: number;
  /** The same with shared pages divided among those that share them. */
  readonly pssMb: number;
}

/** What these processes hold now, in MiB; one that is gone or not ours to look at counts nothing. */
export function memoryOf(pids: readonly number[]): Memory {
  let [processes, rssKb, pssKb] = [0, 0, 0];
  for (const pid of pids) {
    const text = read(`/proc/${pid}/smaps_rollup`);
    if (text === undefined) continue;
    processes++;
    rssKb += Number(/^Rss:\s+(\d+)/m.exec(text)?.[1] ?? 0);
    pssKb += Number(/^Pss:\s+(\d+)/m.exec(text)?.[1] ?? 0);
  }
  return { processes, rssMb: rssKb / 1024, pssMb: pssKb / 1024 };
}

/** A process and all that it started, as they are now. */
export function family(root: number): number[] {
  const parents = new Map<number, number>();
  for (const name of readdirSync('/proc')) {
    const pid = Number(name);
    const fields = pid > 0 ? statFields(pid) : undefined;
    if (fields) parents.set(pid, Number(fields[1]));
  }
  const found = [root];
  for (const pid of found) for (const [child, parent] of parents) if (parent === pid) found.push(child);
  return found;
}

/** Seconds that a core (or all of them) was not idle, whoever used it. */
export function busySeconds(core?: number): number {
  const name = core === undefined ? 'cpu' : `cpu${core}`;
  const line = readFileSync('/proc/stat', 'utf8')
    .split('\n')
    .find((candidate) => candidate.split(' ', 1)[0] === name);
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = (line ?? '')
    .split(/ +/)
    .slice(1)
    .map(Number);
  return (user + nice + system + irq + softirq + steal) / TICKS_PER_SEC;
}

/** The fields after the process's name, which may hold anything: [0] is the state. */
function statFields(pid: number): string[] | undefined {
  const text = read(`/proc/${pid}/stat`);
  return text?.slice(text.lastIndexOf(')') + 2).split(' ');
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
