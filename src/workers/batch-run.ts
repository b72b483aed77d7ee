/** Runs one attempt of a batch prediction: claim, go on where the last attempt got to, and end it or give it back. */
import { deadline, joinSignals } from '../abort.js';

import { backoffMs } from '../core/backoff.js';
import type { BatchDeps } from '../core/batch/deps.js';
import { claimBatch, failBatch } from '../core/batch/ends.js';
import { runBatch } from '../core/batch/run.js';
import type { BatchRow } from '../core/batch/store.js';
import { attemptQueueId, type Enqueue, type JobHandler } from '../core/jobs.js';
import { type Hold, putBack } from '../core/ownership.js';
import { AppError, asAppError, messageOf, WIRE } from '../errors.js';
import type { Log } from '../log.js';
import type { Holding, Holdings } from './holdings.js';
import { patiently } from './patiently.js';

export interface BatchRunDeps extends BatchDeps {
  readonly enqueue: Enqueue;
  readonly log: Log;
  readonly owner: string;
  /** Of batch predictions. */
  readonly holdings: Holdings;
}

/** Between attempts that failed for what passes. */
const BACKOFF = { backoffMs: 1000, maxBackoffMs: 60_000 };

export function createBatchRun(deps: BatchRunDeps): JobHandler<'batch.run'> {
  return async ({ batchId }, shutdown) => {
    const claimed = await claimBatch(deps.db, batchId, deps.owner);
    if (!claimed) return;
    const { hold, row } = claimed;
    const holding = deps.holdings.hold(hold);
    const late = deadline(Math.max(1, row.deadline_at.getTime() - deps.clock.now()));
    const joined = joinSignals([holding.signal, late.signal, shutdown]);
    try {
      await runBatch(deps, hold, row, joined.signal);
    } catch (error) {
      await giveUp(deps, { hold, row, error, why: whyStopped(holding, late.signal, shutdown) });
    } finally {
      joined.release();
      late.release();
      holding.release();
    }
  };
}

type Why = 'lost' | 'cancelled' | 'late' | 'shutdown' | undefined;

function whyStopped(holding: Holding, late: AbortSignal, shutdown: AbortSignal): Why {
  return holding.why ?? (late.aborted ? 'late' : shutdown.aborted ? 'shutdown' : undefined);
}

interface Stopped {
  readonly hold: Hold;
  readonly row: BatchRow;
  readonly error: unknown;
  readonly why: Why;
}

async function giveUp(deps: BatchRunDeps, { hold, row, error, why }: Stopped): Promise<void> {
  const fail = (state: 'failed' | 'cancelled', reason: string) =>
    patiently(() => failBatch(deps.db, hold, { state, reason }));
  if (why === 'lost') return;
  if (why === 'cancelled') return fail('cancelled', 'cancelled on request');
  if (why === 'late') return fail('failed', `not done within its time limit of ${row.spec.timeLimitSec} s`);
  if (why === undefined && isFinal(error)) return fail('failed', asAppError(error).message);
  const inMs = why === 'shutdown' ? 0 : backoffMs(BACKOFF, hold.attempt, Math.random());
  const reason = why === 'shutdown' ? 'its worker was stopped' : messageOf(error);
  if (why === undefined) deps.log.warn('a batch prediction is tried again', { batch: hold.id, error });
  if (!(await patiently(() => putBack(deps.db, 'batch_predictions', hold, { inMs, reason })))) return;
  const options = { id: attemptQueueId(hold.id, hold.attempt), delayMs: inMs };
  await deps
    .enqueue('batch.run', { batchId: hold.id }, options)
    .catch((away) => deps.log.warn('the queue did not take a job', { error: messageOf(away) }));
}

/** Whether trying again would end the same way: it is the data's fault, or the request's. What is ours may pass. */
function isFinal(error: unknown): boolean {
  return error instanceof AppError && !WIRE[error.code].retry && error.code !== 'internal' && error.code !== 'conflict';
}
