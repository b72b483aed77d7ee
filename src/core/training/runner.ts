import type { Digest } from '../blobs.js';
import type { Distributed, Resources } from './spec.js';

/** One attempt of a training job. */
export interface Attempt {
  readonly jobId: string;
  readonly project: string;
  /** 1 for the first attempt. */
  readonly number: number;
  /** The archive with the user's code. */
  readonly code: Digest;
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
  /** Container image to run in; undefined: the runner's own choice. */
  readonly image: string | undefined;
  /** How many run the script together, and how they find each other. */
  readonly replicas: number;
  readonly distributed: Distributed;
}

/**
 * Why a run is aborted whose attempt is to go on elsewhere: its worker stops, or it was given to another. A runner whose
 * scripts outlive the worker leaves them running.
 */
export class LetGo extends Error {
  override readonly name = 'LetGo';
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
  | { readonly kind: 'cancelled'; readonly reason: string }
  /** Taken away by no fault of its own, such as with its node: it is begun again and no retry is burnt. */
  | { readonly kind: 'preempted'; readonly reason: string };

/** Runs attempts: as process groups of this machine, or as Jobs of Kubernetes. */
export interface Runner {
  /**
   * Runs to the end. An abort asks the script to stop (SIGTERM, grace, SIGKILL) and ends as `cancelled`, also where it is a
   * `LetGo`. Never throws for what the script did.
   */
  run(attempt: Attempt, sink: AttemptSink, signal: AbortSignal): Promise<AttemptEnd>;
  /** Removes what is left of a job that has ended: its working folder with its outputs, and whatever ran it. */
  clean(jobId: string): Promise<void>;
  /** The jobs of which something is left to clean, ended or not. */
  leftovers(): Promise<string[]>;
  /** Ends every process group of an earlier life of this machine's workers; call once at start, before `run`. */
  sweep(): Promise<number>;
}
