import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { systemClock } from '../../src/clock.js';
import type { ParsedMetric } from '../../src/core/training/metrics.js';
import type { AttemptSink, LogStream } from '../../src/core/training/runner.js';
import {
  createLocalRunner,
  type LocalRunner,
  type LocalRunnerOptions,
} from '../../src/platform/training/local-runner.js';
import { keyPrefix, killMarked } from '../../src/platform/training/process-scan.js';
import type { LocalAttempt } from '../../src/platform/training/workspace.js';

/** A sink that remembers everything. */
export interface Recorded extends AttemptSink {
  readonly phases: string[];
  readonly lines: { stream: LogStream; text: string }[];
  readonly metrics: ParsedMetric[];
  /** All lines of one stream, joined by newlines. */
  text(stream: LogStream): string;
}

/** A runner in a temporary folder, for tests. */
export interface Bench {
  readonly folder: string;
  readonly runner: LocalRunner;
  /** An attempt that runs this Python text. */
  attempt(script: string, change?: Partial<LocalAttempt>): Promise<LocalAttempt>;
  /** Ends what is left of its attempts, and removes the folder. */
  close(): Promise<void>;
}

/** What the tests' scripts inherit from the machine. */
export const TEST_ENV: Readonly<Record<string, string>> = Object.fromEntries(
  Object.entries(process.env).flatMap(([name, value]) =>
    value !== undefined && /^(PATH|HOME|LANG|TMPDIR|PIP_.*|.*_proxy|.*_PROXY|.*CERT.*|.*CA_BUNDLE)$/.test(name)
      ? [[name, value]]
      : [],
  ),
);

/** Makes a bench; its runner has 4 CPUs, 2 GiB, 2 GPUs, looks at memory ten times a second and stops within half a second. */
export async function createBench(options: Partial<LocalRunnerOptions> = {}): Promise<Bench> {
  const folder = await mkdtemp(join(tmpdir(), 'sluice-runner-'));
  const workFolder = join(folder, 'work');
  const runner = createLocalRunner({
    workFolder,
    cacheFolder: join(folder, 'cache'),
    capacity: { cpus: 4, memoryMb: 2048, gpus: 2 },
    baseEnv: TEST_ENV,
    stopGraceMs: 500,
    sampleMs: 100,
    ...options,
  });
  let made = 0;
  return {
    folder,
    runner,
    attempt: async (script, change = {}) => {
      made += 1;
      const jobId = change.jobId ?? `job-${made}`;
      const codePath = join(folder, `code-${made}`);
      const entrypoint = change.entrypoint ?? 'train.py';
      await mkdir(dirname(join(codePath, entrypoint)), { recursive: true });
      await writeFile(join(codePath, entrypoint), script);
      return {
        jobId,
        project: 'default',
        number: 1,
        code: `sha256:${'0'.repeat(64)}`,
        codePath,
        entrypoint,
        args: [],
        requirements: [],
        params: {},
        env: {},
        resources: { cpus: 1, memoryMb: 512, gpus: 0 },
        timeLimitSec: 60,
        image: undefined,
        replicas: 1,
        distributed: { framework: 'none', processesPerReplica: 1 },
        checkpointPath: join(workFolder, jobId, 'checkpoint'),
        ...change,
      };
    },
    close: async () => {
      await killMarked(keyPrefix(workFolder), systemClock);
      await rm(folder, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

/** A sink that remembers; `onLine` is called after each line. */
export function record(onLine: (text: string) => void = () => {}): Recorded {
  const phases: string[] = [];
  const lines: { stream: LogStream; text: string }[] = [];
  const metrics: ParsedMetric[] = [];
  return {
    phases,
    lines,
    metrics,
    text: (stream) => lines.flatMap((line) => (line.stream === stream ? [line.text] : [])).join('\n'),
    phase: async (phase) => void phases.push(phase),
    log: async (stream, text) => {
      lines.push({ stream, text });
      onLine(text);
    },
    metric: async (metric) => void metrics.push(metric),
  };
}

/** Waits until a condition holds; fails after `boundMs`. */
export async function until(condition: () => boolean | Promise<boolean>, boundMs = 15_000): Promise<void> {
  const deadline = Date.now() + boundMs;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`not so within ${boundMs} ms: ${condition}`);
    await systemClock.sleep(20);
  }
}
