import { once } from 'node:events';
import { type Clock, systemClock } from '../../clock.js';
import type { AttemptEnd, AttemptSink } from '../../core/training/runner.js';
import { messageOf } from '../../errors.js';
import { signalGroup, spawnGuarded } from '../guard.js';
import { exitWords } from './exit-words.js';
import { createOutput } from './output.js';
import { killMarked, memoryOfAttempt } from './process-scan.js';

/** A script that is ready to run. */
export interface Script {
  readonly command: string;
  readonly args: readonly string[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  /** The value of the marker variable in `env`. */
  readonly marker: string;
  readonly outputPath: string;
  readonly timeLimitSec: number;
  /** MiB that its processes may hold together. */
  readonly memoryMb: number;
  /** Milliseconds between SIGTERM and SIGKILL. */
  readonly stopGraceMs: number;
  /** Milliseconds between looks at its memory. */
  readonly sampleMs: number;
  /** Bytes of output that are handed on as log. */
  readonly maxLogBytes: number;
}

type Stop = Exclude<AttemptEnd, { kind: 'succeeded' }>;

/** Runs a script to its end; when this resolves or rejects, none of its processes is left. Rejects only when the sink does. */
export async function runScript(
  script: Script,
  sink: AttemptSink,
  signal: AbortSignal,
  clock: Clock = systemClock,
): Promise<AttemptEnd> {
  const output = createOutput(sink, script.maxLogBytes, clock);
  const child = spawnGuarded(script.command, script.args, {
    stopSignal: 'SIGTERM',
    graceMs: script.stopGraceMs,
    cwd: script.cwd,
    env: script.env,
    stdio: ['pipe', 'pipe'],
  });
  const ended = new AbortController();
  let failure: unknown;
  const exited = once(child, 'exit').catch((error: unknown) => {
    failure = error;
    return [null, null];
  });
  let stopped: Stop | undefined;
  let kill: Promise<void> | undefined;

  /** Asks the group to stop, and ends it after the grace; the first reason counts. */
  const stop = (reason: Stop, graceMs: number) => {
    if (stopped || ended.signal.aborted) return;
    stopped = reason;
    kill = (async () => {
      if (graceMs > 0) {
        signalGroup(child, 'SIGTERM');
        await clock.sleep(graceMs, ended.signal).catch(() => {});
      }
      if (!ended.signal.aborted) signalGroup(child, 'SIGKILL');
    })();
  };
  const abort = () => stop({ kind: 'cancelled', reason: cancelReason(signal) }, script.stopGraceMs);
  signal.addEventListener('abort', abort, { once: true });
  if (signal.aborted) abort();

  const streams = [child.stdout, child.stderr];
  const reading = Promise.all([output.read('stdout', child.stdout), output.read('stderr', child.stderr)]);
  // a sink that fails ends the script: nobody would learn what it does
  reading.catch(() => stop({ kind: 'cancelled', reason: 'the sink failed' }, 0));
  const watching = watch(script, child.pid ?? 0, stop, ended.signal, clock);
  try {
    const [code, killedBy] = await exited;
    ended.abort();
    await killMarked(script.marker, clock);
    await output.finish(reading, streams);
    await reading;
    if (failure !== undefined) {
      return {
        kind: 'failed',
        reason: `the script could not be started: ${messageOf(failure)}`,
        exitCode: null,
        retryable: true,
      };
    }
    if (stopped) return stopped.kind === 'failed' ? { ...stopped, exitCode: code } : stopped;
    if (code === 0) return { kind: 'succeeded', outputPath: script.outputPath };
    return { kind: 'failed', reason: exitWords(code, killedBy, output.lastError()), exitCode: code, retryable: true };
  } finally {
    ended.abort();
    signal.removeEventListener('abort', abort);
    await Promise.all([watching, kill]);
  }
}

/** Looks at time and memory until the end. */
async function watch(
  script: Script,
  group: number,
  stop: (reason: Stop, graceMs: number) => void,
  ended: AbortSignal,
  clock: Clock,
): Promise<void> {
  const deadline = clock.now() + script.timeLimitSec * 1000;
  let over = 0;
  while (!ended.aborted) {
    await clock.sleep(Math.max(1, Math.min(script.sampleMs, deadline - clock.now())), ended).catch(() => {});
    if (ended.aborted) return;
    if (clock.now() >= deadline) {
      stop(
        { kind: 'timed_out', reason: `the script ran longer than its limit of ${script.timeLimitSec} s` },
        script.stopGraceMs,
      );
      return;
    }
    const usedMb = memoryOfAttempt(group, script.marker, script.memoryMb);
    over = usedMb > script.memoryMb ? over + 1 : 0;
    if (over < 2) continue;
    const reason = `the script used ${Math.ceil(usedMb)} MiB of memory, resources.memoryMb allows ${script.memoryMb}`;
    // no grace: it would go on growing
    stop({ kind: 'failed', reason, exitCode: null, retryable: false }, 0);
    return;
  }
}

/** What an abort gives as its reason, when it gives words of its own. */
export function cancelReason(signal: AbortSignal): string {
  const { reason } = signal;
  if (typeof reason === 'string') return reason;
  return reason instanceof Error && reason.name !== 'AbortError' ? reason.message : 'cancelled';
}
