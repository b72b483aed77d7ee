/** Processor time out of Linux's /proc, in seconds. */
import { readdirSync, readFileSync } from 'node:fs';

/** The kernel's clock ticks are of 10 ms on every Linux that Node runs on. */
const TICKS_PER_SEC = 100;

/** User and system time of these processes, all their threads included; one that is gone counts 0. */
export function cpuSeconds(pids: readonly number[]): number {
  let ticks = 0;
  for (const pid of pids) {
    const fields = statFields(pid);
    ticks += Number(fields?.[11] ?? 0) + Number(fields?.[12] ?? 0);
  }
  return ticks / TICKS_PER_SEC;
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

/** Time that a core (or all of them) was not idle, whoever used it. */
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
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return text.slice(text.lastIndexOf(')') + 2).split(' ');
  } catch {
    return undefined;
  }
}
