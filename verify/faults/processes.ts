/** The processes of one installation, found by what all of them carry: its TMPDIR, or a working folder inside its data. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

export type ProcessKind = 'supervisor' | 'gateway' | 'worker' | 'model server' | 'postgres' | 'training' | 'other';

export interface FoundProcess {
  readonly pid: number;
  readonly parent: number;
  readonly kind: ProcessKind;
  readonly command: string;
  /** Processor time that it has used, in clock ticks. */
  readonly ticks: number;
}

/** Where an installation lives. */
export interface Territory {
  readonly tmp: string;
  readonly data: string;
}

/** Every process of the installation, whoever its parent is by now. Zombies are gone. */
export function findProcesses(territory: Territory): FoundProcess[] {
  return readdirSync('/proc').flatMap((name) => {
    const pid = Number(name);
    if (!Number.isInteger(pid) || pid === process.pid) return [];
    try {
      return look(pid, territory);
    } catch {
      // ended while it was looked at, or is another user's
      return [];
    }
  });
}

function look(pid: number, { tmp, data }: Territory): FoundProcess[] {
  const environment = readFileSync(`/proc/${pid}/environ`, 'latin1').split('\0');
  if (!environment.includes(`TMPDIR=${tmp}`) && !`${readlinkSync(`/proc/${pid}/cwd`)}/`.startsWith(`${data}/`))
    return [];
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  // the name, in parentheses, may hold anything; behind it come state, parent, …, user time (12th), system time (13th)
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  if (fields[0] === 'Z' || fields[0] === 'X') return [];
  const command = readFileSync(`/proc/${pid}/cmdline`, 'latin1').split('\0').join(' ').trim();
  const isScript = environment.some((entry) => entry.startsWith('SLUICE_ATTEMPT_KEY='));
  return [
    {
      pid,
      parent: Number(fields[1]),
      kind: kindOf(command, isScript),
      command,
      ticks: Number(fields[11]) + Number(fields[12]),
    },
  ];
}

function kindOf(command: string, isScript: boolean): ProcessKind {
  const program = /\/dist\/(\w+)\.js/.exec(command)?.[1];
  if (program === 'sluice') return 'supervisor';
  if (program === 'gateway' || program === 'worker') return program;
  if (program === 'runtime') return 'model server';
  if (isScript) return command.includes('train.py') && !/^\S*sh -c/.test(command) ? 'training' : 'other';
  return / -D \S+\/postgres\/data /.test(command) && !command.startsWith('/bin/sh') ? 'postgres' : 'other';
}

/** Those that do not descend from `root`: nobody looks after them any more. */
export function strays(found: readonly FoundProcess[], root: number): FoundProcess[] {
  const byPid = new Map(found.map((entry) => [entry.pid, entry]));
  const descends = (entry: FoundProcess): boolean => {
    if (entry.pid === root || entry.parent === root) return true;
    const parent = byPid.get(entry.parent);
    return parent !== undefined && descends(parent);
  };
  return found.filter((entry) => !descends(entry));
}

/** SIGKILL to a process; nothing when it is gone. */
export function killNow(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // it has ended
  }
}
