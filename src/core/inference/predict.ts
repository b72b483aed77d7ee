/**
 * A prediction's way: choose the revision, get a slot, forward, and once more on another replica when the first went
 * away before it answered. The body stays bytes; the database is not asked.
 */
import { AppError, asAppError } from '../../errors.js';
import type { Fleet } from '../fleet.js';
import type { Call, Exchange, Reply } from './forward.js';
import type { Lease, Waiting } from './pool.js';
import type { RevisionRoute } from './route.js';

export interface Prediction {
  readonly reply: Promise<Reply>;
  /** The client is gone: gives the place or the slot up and tells the replica. */
  cancel(): void;
}

export interface PredictOptions {
  /** From now to the answer, waiting included. */
  readonly timeoutMs: number;
  /** Whether the request may run twice when the first replica dies with it. */
  readonly idempotent: boolean;
}

const MAX_ATTEMPTS = 3;

export function predict(fleet: Fleet, revision: RevisionRoute, call: Call, options: PredictOptions): Prediction {
  let current: Waiting | Exchange | undefined;
  let stopped: AppError | undefined;
  const stop = (error: AppError) => {
    stopped ??= error;
    current?.cancel();
  };
  const timer = setTimeout(
    () => stop(new AppError('timeout', `no answer within ${options.timeoutMs} ms`)),
    options.timeoutMs,
  );

  const attempt = async (): Promise<Reply> => {
    const got: Lease | Waiting = fleet.lease(revision);
    let lease: Lease;
    if ('replica' in got) lease = got;
    else {
      current = got;
      lease = await got.lease;
    }
    try {
      if (stopped) throw stopped;
      const exchange = lease.replica.forward(call);
      current = exchange;
      return await exchange.reply;
    } finally {
      lease.release();
    }
  };

  const run = async (): Promise<Reply> => {
    try {
      for (let tried = 1; ; tried++) {
        try {
          return await attempt();
        } catch (error) {
          if (stopped) throw stopped;
          // only a replica that went away is worth another try; what it answered, or a full queue, is the answer
          const failure = asAppError(error);
          if (failure.code !== 'upstream_failed' || !options.idempotent || tried === MAX_ATTEMPTS) throw failure;
        }
      }
    } finally {
      clearTimeout(timer);
    }
  };

  return { reply: run(), cancel: () => stop(new AppError('cancelled', 'the client went away')) };
}
