import { createHash } from 'node:crypto';
import type { JobName } from '../../core/jobs.js';

/** How one kind of job is delivered. */
export interface JobPolicy {
  /** Deliveries that may throw before the job is given up. Deliveries cut short by a dead worker do not count. */
  readonly attempts: number;
  /** The wait after the first failure, in milliseconds; it doubles with every further one. */
  readonly backoffMs: number;
  readonly maxBackoffMs: number;
  /** Jobs of this name that one worker process runs at once, unless it is told otherwise. */
  readonly concurrency: number;
}

/** How each kind of job is delivered. What is given up is found again by the reconcile pass, from what Postgres says. */
export const POLICY: { readonly [N in JobName]: JobPolicy } = {
  'training.run': { attempts: 5, backoffMs: 1_000, maxBackoffMs: 60_000, concurrency: 4 },
  'promotion.decide': { attempts: 8, backoffMs: 500, maxBackoffMs: 30_000, concurrency: 4 },
  'rollout.advance': { attempts: 8, backoffMs: 250, maxBackoffMs: 10_000, concurrency: 16 },
};

/** Every job name, in a fixed order. */
export const JOB_NAMES = Object.keys(POLICY) as readonly JobName[];

/** Ended jobs are not kept, well or ill: that is what lets the same id be enqueued again. The log and Postgres remember. */
export const RETENTION = { removeOnComplete: true, removeOnFail: true } as const;

/**
 * A worker renews its lock on a job every `lockRenewTime`. When it dies, the lock runs out and the next stall check, made
 * by any living worker, delivers the job again: after `lockDuration + stalledInterval` at the latest.
 */
export const DELIVERY = {
  lockDuration: 10_000,
  lockRenewTime: 4_000,
  stalledInterval: 4_000,
  // a job is never given up because its workers died; handlers may run twice
  maxStalledCount: 1_000_000,
  // an idle worker asks again after so many seconds even if it was not told of a job
  drainDelay: 5,
  runRetryDelay: 1_000,
} as const;

/**
 * Milliseconds to wait after the `failures`th failure (from 1): exponential, capped, and with jitter: a random point in
 * the upper half, so that what failed together does not come back together. `random` is in [0, 1).
 */
export function backoffMs(policy: JobPolicy, failures: number, random: number): number {
  const full = Math.min(policy.maxBackoffMs, policy.backoffMs * 2 ** Math.min(30, Math.max(0, failures - 1)));
  return Math.floor(full / 2 + (full / 2) * random);
}

/** A resource's id as BullMQ takes it: no colon, not a bare number, bounded length; different ids stay different. */
export function queueId(id: string): string {
  const encoded = encodeURIComponent(id);
  return encoded.length <= 200 ? `j-${encoded}` : `h-${createHash('sha256').update(id).digest('hex')}`;
}
