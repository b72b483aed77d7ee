/** Runs one attempt of an asynchronous prediction: claim, ask a gateway, keep the answer, tell whoever waits. */
import { deadline, joinSignals } from '../abort.js';
import type { Clock } from '../clock.js';
import { attemptQueueId, type Enqueue, type JobHandler } from '../core/jobs.js';
import { type Hold, putBack } from '../core/ownership.js';
import { claimPrediction, endPrediction, type PredictionEnd, type PredictionRow } from '../core/predictions/ends.js';
import { type RunDeps, type RunResult, runPrediction } from '../core/predictions/run.js';
import { messageOf } from '../errors.js';
import type { Log } from '../log.js';
import type { Holding, Holdings } from './holdings.js';
import { patiently } from './patiently.js';

export interface PredictionDeps extends RunDeps {
  readonly enqueue: Enqueue;
  readonly clock: Clock;
  readonly log: Log;
  readonly owner: string;
  /** Of predictions. */
  readonly holdings: Holdings;
}

export function createPredictionRun(deps: PredictionDeps): JobHandler<'prediction.run'> {
  const { db, owner, holdings } = deps;
  return async ({ predictionId }, shutdown) => {
    const claimed = await claimPrediction(db, predictionId, owner);
    if (!claimed) return;
    const holding = holdings.hold(claimed.hold);
    try {
      const result = await attempt(deps, claimed.row, holding, shutdown);
      if (result === undefined) return;
      if (result.kind === 'again') await later(deps, claimed.hold, result);
      else await end(deps, claimed.hold, result);
    } finally {
      holding.release();
    }
  };
}

/** What becomes of the prediction; undefined when it is another worker's. */
async function attempt(
  deps: PredictionDeps,
  row: PredictionRow,
  holding: Holding,
  shutdown: AbortSignal,
): Promise<RunResult | undefined> {
  const leftMs = row.deadline_at.getTime() - deps.clock.now();
  const late = { kind: 'unanswered', state: 'failed', code: 'timeout' } as const;
  if (leftMs <= 0) return { ...late, reason: lateWords(row) };
  const over = deadline(leftMs);
  // one that must not run twice is not given up while it runs: a worker that stops waits for it
  const joined = joinSignals([holding.signal, over.signal, ...(row.request.idempotent ? [shutdown] : [])]);
  try {
    return await runPrediction(deps, row, joined.signal);
  } catch (error) {
    if (holding.why === 'lost') return undefined;
    if (holding.why === 'cancelled')
      return { kind: 'unanswered', state: 'cancelled', code: 'cancelled', reason: 'cancelled' };
    if (over.signal.aborted) return { ...late, reason: lateWords(row) };
    if (shutdown.aborted) return { kind: 'again', inMs: 0, reason: 'its worker was stopped' };
    throw error;
  } finally {
    joined.release();
    over.release();
  }
}

function lateWords({ reason }: PredictionRow): string {
  return `no answer before its deadline${reason === '' ? '' : `; last: ${reason}`}`;
}

async function later(deps: PredictionDeps, hold: Hold, { inMs, reason }: { inMs: number; reason: string }) {
  const mine = await patiently(() => putBack(deps.db, 'predictions', hold, { inMs, reason }));
  if (!mine) return;
  const options = { id: attemptQueueId(hold.id, hold.attempt), delayMs: inMs };
  await tell(deps, deps.enqueue('prediction.run', { predictionId: hold.id }, options));
}

async function end(deps: PredictionDeps, hold: Hold, result: PredictionEnd): Promise<void> {
  const deliveries = await patiently(() => endPrediction(deps.db, hold, result));
  for (const deliveryId of deliveries ?? [])
    await tell(deps, deps.enqueue('webhook.send', { deliveryId }, { id: deliveryId }));
}

/** What is written is true whether or not the queue hears of it; the reconcile pass finds it. */
async function tell(deps: PredictionDeps, enqueued: Promise<void>): Promise<void> {
  await enqueued.catch((error) => deps.log.warn('the queue did not take a job', { error: messageOf(error) }));
}
