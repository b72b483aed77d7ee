import { createHash } from 'node:crypto';
import type { Backoff } from '../../core/backoff.js';
import type { JobName } from '../../core/jobs.js';

/** How one kind of job is delivered. */
export interface JobPolicy extends Backoff {
  /** Deliveries that may throw before the job is given up. Deliveries cut short by a dead worker do not count. */
  readonly attempts: number;
  /** Jobs of this name that one worker process runs at once, unless it is told otherwise. */
  readonly concurrency: number;
}

/** How each kind of job is delivered. What is given up is found again by the reconcile pass, from what Postgres says. */
export const POLICY: { readonly [N in JobName]: JobPolicy } = {
  'training.run': { attempts: 5, backoffMs: 1_000, maxBackoffMs: 60_000, concurrency: 4 },
  'promotion.decide': { attempts: 8, backoffMs: 500, maxBackoffMs: 30_000, concurrency: 4 },
  'rollout.advance': { attempts: 8, backoffMs: 250, maxBackoffMs: 10_000, concurrency: 16 },
  'bandit.adjust': { attempts: 8, backoffMs: 250, maxBackoffMs: 10_000, concurrency: 8 },
  'prediction.run': { attempts: 5, backoffMs: 500, maxBackoffMs: 30_000, concurrency: 32 },
  'batch.run': { attempts: 5, backoffMs: 1_000, maxBackoffMs: 60_000, concurrency: 2 },
  'webhook.send': { attempts: 5, backoffMs: 1_000, maxBackoffMs: 60_000, concurrency: 16 },
  // sockets that wait, and little else: receivers that hang hold a place each for as long as a try takes
  'webhook.push': { attempts: 5, backoffMs: 1_000, maxBackoffMs: 60_000, concurrency: 128 },
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

/** A resource's id as BullMQ takes it: no colon, not a bare number, bounded length; different ids stay different. */
export function queueId(id: string): string {
  const encoded = encodeURIComponent(id);
  return encoded.length <= 200 ? `j-${encoded}` : `h-${createHash('sha256').update(id).digest('hex')}`;
}
