/** Programs that benchmarks start: guarded, silent, killed with everything they started. */
import { open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { AppError } from '../../src/errors.js';
import { signalGroup, spawnGuarded } from '../../src/platform/guard.js';
import { commandLine, isRunning, startedAt } from '../../src/platform/processes.js';
import type { Cleanup } from './cleanup.js';
import { pinned } from './load/timed.js';
import { family } from './proc.js';

export interface ServerOptions {
  readonly name: string;
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** The server's folder: where it runs, keeps its temporary files, and where its output goes. Must exist. */
  readonly folder: string;
  /** The only core that it may use; undefined: any. */
  readonly core: number | undefined;
  /** Whether it does its work already; asked again and again from the start on. */
  ready(): Promise<boolean>;
  readonly readyTimeoutMs?: number;
  readonly cleanup: Cleanup;
}

export interface Server {
  /** From the start of the process until it was ready. */
  readonly readyMs: number;
  /** The process and all that it started, as they are now. */
  pids(): number[];
  stop(): Promise<void>;
}

const READY_TIMEOUT_MS = 60_000;
const READY_POLL_MS = 10;
const STOP_GRACE_MS = 10_000;

/** Starts a program and waits until it is ready; `not_ready` with its last words when it never is. */
export async function startServer(options: ServerOptions): Promise<Server> {
  const logFile = join(options.folder, `${options.name}.log`);
  const log = await open(logFile, 'a');
  const [command = '', ...args] = pinned(options.command, options.core);
  const began = performance.now();
  const child = spawnGuarded(command, args, {
    stopSignal: 'SIGTERM',
    graceMs: STOP_GRACE_MS,
    cwd: options.folder,
    env: { TMPDIR: options.folder, ...options.env },
    stdio: [log.fd, log.fd],
  });
  const exited = new Promise<number | null>((resolve) => child.once('exit', resolve));
  const pids = () => family(child.pid ?? 0).filter((pid) => !isGuard(pid));
  const stop = options.cleanup.add(async () => {
    const started = family(child.pid ?? 0).map((pid) => ({ pid, at: startedAt(pid) }));
    signalGroup(child, 'SIGTERM');
    await exited;
    // what left the group, as some process managers let their workers
    for (const { pid, at } of started) if (isRunning(pid) && startedAt(pid) === at) process.kill(pid, 'SIGKILL');
    await log.close();
  });
  const deadline = began + (options.readyTimeoutMs ?? READY_TIMEOUT_MS);
  while (!(await options.ready().catch(() => false))) {
    const ended = child.exitCode !== null || child.signalCode !== null;
    if (ended || performance.now() > deadline) {
      const how = ended ? `it ended with ${child.exitCode ?? child.signalCode}` : 'it was not ready in time';
      const words = (await readFile(logFile, 'utf8')).trim().split('\n').slice(-5).join(' / ');
      await stop();
      throw new AppError('not_ready', `${options.name} did not start: ${how}: ${words.slice(-600)}`);
    }
    await sleep(READY_POLL_MS);
  }
  return { readyMs: performance.now() - began, pids, stop };
}

/** The watcher that ends a guarded program with us is no part of the program. */
function isGuard(pid: number): boolean {
  const command = commandLine(pid) ?? '';
  return command.startsWith('/bin/sh -c') && command.includes(' guard TERM ');
}
