import type { Resources } from './spec.js';

/** One attempt of a training job, with everything on this machine that it needs. */
export interface Attempt {
  readonly jobId: string;
  /** 1 for the first attempt. */
  readonly number: number;
  /** Folder that holds the user's code; copied, never changed. */
  readonly codePath: string;
  /** Script to run, relative to the code folder. */
  readonly entrypoint: string;
  readonly args: readonly string[];
  /** pip requirement lines; empty means the bare interpreter. */
  readonly requirements: readonly string[];
  readonly params: Readonly<Record<string, unknown>>;
  readonly env: Readonly<Record<string, string>>;
  readonly resources: Resources;
  /** Counted from the script's start, not from the wait for slots or the build of its environment. */
  readonly timeLimitSec: number;
  /** Folder that is kept between attempts of the same job, for checkpoints. */
  readonly checkpointPath: string;
}

export type LogStream = 'stdout' | 'stderr' | 'system';

/** What an attempt tells while it runs. Calls come in order; a slow sink slows the reading of output, never loses it. */
export interface AttemptSink {
  /** `waiting` for free slots, `preparing` its environment, `running` the script. */
  phase(phase: 'waiting' | 'preparing' | 'running', detail: string): Promise<void>;
  log(stream: LogStream, text: string): Promise<void>;
  metric(metric: { name: string; value: number; step: number | null }): Promise<void>;
}

export type AttemptEnd =
  | { readonly kind: 'succeeded'; readonly outputPath: string }
  | { readonly kind: 'failed'; readonly reason: string; readonly exitCode: number | null; readonly retryable: boolean }
  | { readonly kind: 'timed_out'; readonly reason: string }
  | { readonly kind: 'cancelled'; readonly reason: string };

/** Runs attempts. The local one ships now: process groups in cached virtual environments, with slots counted. */
export interface Runner {
  /** Runs to the end. An abort asks the script to stop (SIGTERM, grace, SIGKILL) and ends as `cancelled`. Never throws for what the script did. */
  run(attempt: Attempt, sink: AttemptSink, signal: AbortSignal): Promise<AttemptEnd>;
  /** Removes the attempt's working folder with its outputs, once they are registered. */
  clean(jobId: string): Promise<void>;
  /** Ends every process group of an earlier life of this machine's workers; call once at start, before `run`. */
  sweep(): Promise<number>;
}
