import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type Clock, systemClock } from '../../clock.js';
import type { AttemptEnd, AttemptSink, Runner } from '../../core/training/runner.js';
import { AppError, WIRE } from '../../errors.js';
import { createEnvironments, type Environments } from '../python/environments.js';
import { attemptKey, findMarked, keyPrefix, killMarked, ownerLives } from './process-scan.js';
import { cancelReason, runScript } from './script.js';
import { type Capacity, createSlots, type Lease, type Slots } from './slots.js';
import {
  checkEntrypoint,
  jobFolder,
  type LocalAttempt,
  prepareWorkspace,
  scriptEnvironment,
  workspaceOf,
} from './workspace.js';

export interface LocalRunnerOptions {
  /** Folder for the attempts of all jobs. */
  readonly workFolder: string;
  /** Folder for the cached virtual environments. */
  readonly cacheFolder: string;
  /** What this runner may use of the machine; see `machineCapacity`. */
  readonly capacity: Capacity;
  /** The only variables of ours that scripts, venv and pip get: PATH, HOME, LANG, TMPDIR, proxies, certificates, PIP_*. */
  readonly baseEnv: Readonly<Record<string, string>>;
  /** Name or path of the interpreter, Python 3.10 or newer. Default `python3`. */
  readonly python?: string;
  /** Milliseconds between SIGTERM and SIGKILL. Default 120,000. */
  readonly stopGraceMs?: number;
  /** Milliseconds between looks at a script's memory. Default 1,000. */
  readonly sampleMs?: number;
  /** Bytes of output of one attempt that are handed on as log. Default 16 MiB. */
  readonly maxLogBytes?: number;
  readonly clock?: Clock;
}

/** A runner, and what it has to give. Its attempts come with their folders; `withFolders` brings them. */
export interface LocalRunner extends Omit<Runner, 'run'> {
  run(attempt: LocalAttempt, sink: AttemptSink, signal: AbortSignal): Promise<AttemptEnd>;
  readonly slots: Slots;
  readonly environments: Environments;
}

/**
 * Runs attempts as process groups on this machine, each under a guard that ends it when we end. A process that leaves its
 * group is known by its environment (`MARKER`) and ended with its attempt, or by the next `sweep`.
 */
export function createLocalRunner(options: LocalRunnerOptions): LocalRunner {
  const clock = options.clock ?? systemClock;
  const slots = createSlots(options.capacity);
  const environments = createEnvironments(options);

  const runHolding = async (
    attempt: LocalAttempt,
    lease: Lease,
    sink: AttemptSink,
    signal: AbortSignal,
  ): Promise<AttemptEnd> => {
    const wanted = attempt.requirements.length;
    await sink.phase('preparing', wanted === 0 ? 'copying the code' : `environment with ${wanted} requirements`);
    const python = await environments.ensure(attempt.requirements, (line) => sink.log('system', line), signal);
    const workspace = workspaceOf(options.workFolder, attempt);
    await prepareWorkspace(attempt, workspace);
    if (signal.aborted) throw new AppError('cancelled', cancelReason(signal));
    await sink.phase('running', attempt.entrypoint);
    const marker = attemptKey(options.workFolder, attempt.jobId, attempt.number);
    const { baseEnv } = options;
    const env = scriptEnvironment({ attempt, workspace, python, baseEnv, gpuIndexes: lease.gpuIndexes, marker });
    const script = {
      command: python.python,
      args: [join(workspace.codePath, attempt.entrypoint), ...attempt.args],
      cwd: workspace.codePath,
      env,
      marker,
      outputPath: workspace.outputPath,
      timeLimitSec: attempt.timeLimitSec,
      memoryMb: attempt.resources.memoryMb,
      stopGraceMs: options.stopGraceMs ?? 120_000,
      sampleMs: options.sampleMs ?? 1_000,
      maxLogBytes: options.maxLogBytes ?? 16 * 1024 * 1024,
    };
    return await runScript(script, sink, signal, clock);
  };

  return {
    slots,
    environments,
    run: async (attempt, givenSink, signal) => {
      const { sink, failure } = remembering(givenSink);
      let lease: Lease | undefined;
      try {
        workspaceOf(options.workFolder, attempt);
        checkOneMachine(attempt);
        await checkEntrypoint(attempt);
        slots.check(attempt.resources);
        if (!slots.fitsNow(attempt.resources)) await sink.phase('waiting', waitWords(attempt, slots));
        lease = await slots.acquire(attempt.resources, signal);
        return await runHolding(attempt, lease, sink, signal);
      } catch (error) {
        const sinkFailure = failure();
        if (sinkFailure) throw sinkFailure.error;
        if (signal.aborted) return { kind: 'cancelled', reason: cancelReason(signal) };
        // what is no AppError is the machine's failure, such as a full disk, and the caller's to handle
        if (!(error instanceof AppError)) throw error;
        return { kind: 'failed', reason: error.message, exitCode: null, retryable: WIRE[error.code].retry };
      } finally {
        lease?.release();
      }
    },
    clean: (jobId) => rm(jobFolder(options.workFolder, jobId), { recursive: true, force: true, maxRetries: 3 }),
    leftovers: () => readdir(options.workFolder).catch(() => []),
    sweep: async () => {
      const prefix = keyPrefix(options.workFolder);
      const dead = new Set(findMarked(prefix).flatMap(({ key }) => (ownerLives(key) ? [] : [key])));
      const met = dead.size === 0 ? dead : await killMarked(prefix, clock, (key) => !ownerLives(key));
      return met.size;
    },
  };
}

/** The same sink, and the first error that it threw: that one is the caller's own and never the script's. */
function remembering(sink: AttemptSink): { sink: AttemptSink; failure: () => { error: unknown } | undefined } {
  let failure: { error: unknown } | undefined;
  const watched = async (call: () => Promise<void>) => {
    try {
      await call();
    } catch (error) {
      failure ??= { error };
      throw error;
    }
  };
  return {
    failure: () => failure,
    sink: {
      phase: (phase, detail) => watched(() => sink.phase(phase, detail)),
      log: (stream, text) => watched(() => sink.log(stream, text)),
      metric: (metric) => watched(() => sink.metric(metric)),
    },
  };
}

/** What needs a cluster is refused: a script that is to find its peers would wait for them for ever. */
function checkOneMachine({ replicas, image }: LocalAttempt): void {
  const where = 'jobs run as processes of one machine here, SLUICE_JOBS=kubernetes runs them on a cluster';
  if (replicas > 1) {
    throw new AppError('invalid', `replicas: ${replicas} is more than 1: ${where}`, { details: { field: 'replicas' } });
  }
  if (image !== undefined) {
    throw new AppError('invalid', `image: ${JSON.stringify(image)} cannot be used: ${where}`, {
      details: { field: 'image' },
    });
  }
}

function waitWords(attempt: LocalAttempt, slots: Slots): string {
  const words = ({ cpus, memoryMb, gpus }: Capacity) => `${cpus} CPUs, ${memoryMb} MiB, ${gpus} GPUs`;
  return `asks for ${words(attempt.resources)}; free are ${words(slots.free())}, ${slots.waiting()} before it`;
}
