import { type ChildProcess, spawn } from 'node:child_process';

/** What a guarded program's output goes to; see `stdio` of node:child_process. A number is an open file descriptor. */
export type GuardedOutput = 'ignore' | 'inherit' | 'pipe' | number;

/** How a guarded program is run and ended. */
export interface GuardedOptions {
  /** The polite signal, sent to the whole group first. */
  readonly stopSignal: NodeJS.Signals;
  /** Milliseconds between the polite signal and the next one. */
  readonly graceMs: number;
  /** Sent when the grace is over. Where it is not SIGKILL, SIGKILL follows after another `graceMs`. Default SIGKILL. */
  readonly killSignal?: NodeJS.Signals;
  /** Run as this user and group; only root may. */
  readonly uid?: number;
  readonly gid?: number;
  readonly cwd: string;
  /** The whole environment of the program; nothing of ours is added. */
  readonly env: Readonly<Record<string, string>>;
  /** stdout and stderr; stdin is always /dev/null. Default both ignored. */
  readonly stdio?: readonly [stdout: GuardedOutput, stderr: GuardedOutput];
}

/**
 * The shell becomes the program (`exec`), so its pid, exit code and signals are the program's own. Before that it leaves
 * a watcher in the group, which does nothing but wait for the end of the pipe that the owner holds. `$$` stays the
 * program's pid in the watcher too. Its own outputs are closed, so that it never holds the program's pipes open.
 */
const SCRIPT = `
stop=$1 kill=$2 ticks=$3
shift 3
exec 3<&0 </dev/null
(
  await_end() {
    left=$ticks
    while [ "$left" -gt 0 ] && kill -0 "$$"; do
      if command -p sleep 0.1; then left=$((left - 1)); else command -p sleep 1; left=$((left - 10)); fi
    done
  }
  end() {
    trap '' TERM
    if [ "$1" = pipe ] || [ "$stop" != TERM ]; then kill -s "$stop" -- "-$$"; fi
    await_end
    if [ "$kill" != KILL ] && kill -0 "$$"; then kill -s "$kill" -- "-$$"; await_end; fi
    kill -s KILL -- "-$$"
  }
  trap '' HUP INT QUIT USR1 USR2
  trap 'end term' TERM
  while read -r _; do :; done
  end pipe
) <&3 >/dev/null 2>&1 &
exec 3<&-
exec "$@"
`;

/**
 * Starts a program in a process group of its own that cannot outlive us: when this process ends, however it ends, the
 * whole group gets `stopSignal`, and SIGKILL once the program has ended or its grace is over. SIGTERM to the group
 * (`signalGroup`) starts the same sequence. When the program ends by itself, what it left in its group is killed at once.
 * A program that cannot be found ends with code 127, one that cannot be run with 126; there is no `error` event for it.
 */
export function spawnGuarded(command: string, args: readonly string[], options: GuardedOptions): ChildProcess {
  const [stdout, stderr] = options.stdio ?? ['ignore', 'ignore'];
  const child = spawn(
    '/bin/sh',
    [
      '-c',
      SCRIPT,
      'guard',
      options.stopSignal.slice(3),
      (options.killSignal ?? 'SIGKILL').slice(3),
      String(Math.max(1, Math.ceil(options.graceMs / 100))),
      command,
      ...args,
    ],
    {
      cwd: options.cwd,
      env: options.env,
      detached: true,
      stdio: ['pipe', stdout, stderr],
      ...(options.uid === undefined ? {} : { uid: options.uid }),
      ...(options.gid === undefined ? {} : { gid: options.gid }),
    },
  );
  // nothing is ever written to it, but a watcher that was killed may still make it fail
  child.stdin?.on('error', () => {});
  child.once('exit', () => {
    // the watcher is in the group, so the number cannot have become another group's
    signalGroup(child, 'SIGKILL');
    child.stdin?.destroy();
  });
  return child;
}

/** Sends a signal to a guarded program and everything in its group; false when there is nobody left to get it. */
export function signalGroup(child: ChildProcess, signal: NodeJS.Signals): boolean {
  if (child.pid === undefined) return false;
  try {
    process.kill(-child.pid, signal);
    return true;
  } catch {
    return false;
  }
}
