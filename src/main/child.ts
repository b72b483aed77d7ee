/** How a program of the platform lives under its supervisor, or alone. */
import { AppError, messageOf } from '../errors.js';
import type { Log } from '../log.js';

/** What the programs tell the supervisor over the IPC channel. */
export type ChildMessage =
  | { readonly kind: 'ready'; readonly url?: string }
  | { readonly kind: 'failed'; readonly error: string };

/** How long a program whose supervisor is gone may take to end. */
const ORPHAN_MS = 2000;

export function tellSupervisor(message: ChildMessage): void {
  process.send?.(message);
}

/**
 * Runs a program until it is told to end: by SIGTERM or SIGINT, or because its supervisor is gone. A second signal, or a
 * stop that takes longer than `stopMs`, ends it at once.
 */
export function runProgram(log: Log, stopMs: number, start: () => Promise<{ stop(): Promise<void> }>): void {
  const supervised = process.connected;
  let running = false;
  const started = start().then((program) => {
    running = true;
    return program;
  });
  let stopping = false;
  const end = (why: string) => {
    if (stopping) process.exit(1);
    stopping = true;
    log.info('stopping', { why });
    // a start may wait for what never comes, and has nothing under way yet
    if (!running) process.exit(0);
    setTimeout(() => process.exit(1), stopMs).unref();
    started
      .then((program) => program.stop())
      .then(
        () => process.exit(0),
        (error) => {
          log.error('the stop failed', { error });
          process.exit(1);
        },
      );
  };
  // a terminal's Ctrl-C reaches the whole group; the supervisor stops its children in order
  if (!supervised) process.on('SIGINT', () => end('SIGINT'));
  else process.on('SIGINT', () => {});
  process.on('SIGTERM', () => end('SIGTERM'));
  // what takes the supervisor's place wants the port and the jobs soon
  if (supervised) {
    process.on('disconnect', () => {
      setTimeout(() => process.exit(1), ORPHAN_MS).unref();
      end('the supervisor is gone');
    });
  }
  process.on('unhandledRejection', (error) => log.error('a rejection nobody handled', { error }));
  started.catch((error) => {
    tellSupervisor({ kind: 'failed', error: messageOf(error) });
    log.error('cannot start', { error: error instanceof AppError ? error.message : error });
    process.exit(1);
  });
}

/** How long a wait may be before it is told of. */
const TELL_AFTER_MS = 2000;

/** Tries until it works or the time is over: what a program needs may start at the same moment as it. */
export async function eventually<T>(what: string, timeoutMs: number, log: Log, attempt: () => Promise<T>): Promise<T> {
  const began = Date.now();
  let told = false;
  for (let waitMs = 20; ; waitMs = Math.min(500, waitMs * 2)) {
    try {
      return await attempt();
    } catch (error) {
      const waitedMs = Date.now() - began;
      if (waitedMs > timeoutMs) throw new AppError('not_ready', `${what}: ${messageOf(error)}`, { cause: error });
      if (!told && waitedMs > TELL_AFTER_MS) {
        told = true;
        log.warn(`${what} yet; trying for ${timeoutMs / 1000} s`, { error: messageOf(error) });
      }
      await new Promise((resolve) => setTimeout(resolve, waitMs));
    }
  }
}
