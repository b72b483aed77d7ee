/** Finds what was written and never enqueued, and what a dead worker left running. Harmless to run anywhere, any time. */
import type { Clock } from '../clock.js';
import { overdueBandits } from '../core/bandit/adjust.js';
import { failLateBatches, recoverBatches } from '../core/batch/ends.js';
import { forgetStatistics } from '../core/inference/statistics.js';
import { attemptQueueId, type Enqueue } from '../core/jobs.js';
import { overdue } from '../core/ownership.js';
import { failLate, recoverPredictions } from '../core/predictions/ends.js';
import { expirePromotions } from '../core/promotions/approve.js';
import { PROMOTION_SILENCE_MS } from '../core/promotions/decide.js';
import { runSchedules } from '../core/promotions/schedules.js';
import { disownPromotions, overduePromotions } from '../core/promotions/store.js';
import { LOOK_EVERY_MS } from '../core/rollouts/advance.js';
import { overdueRollouts } from '../core/rollouts/store.js';
import type { Db } from '../core/schema.js';
import { recoverJobs } from '../core/training/attempts.js';
import { waitingSubscriptions } from '../core/webhooks/subscriptions.js';

/** A worker that has not been heard of for this long has lost its training job. */
export const JOB_SILENCE_MS = 15_000;

export interface ReconcileDeps {
  readonly db: Db;
  readonly enqueue: Enqueue;
  readonly clock: Clock;
}

/** What earlier lives of this worker's machine held is taken back at once. Call before this life takes anything itself. */
export async function takeBack(db: Db, machine: string): Promise<void> {
  await disownPromotions(db, machine);
  await recoverJobs(db, JOB_SILENCE_MS, machine);
  // whoever is to be told of those that end here is found by the reconcile pass
  await recoverPredictions(db, machine);
  await recoverBatches(db, machine);
}

/** One pass. */
export async function reconcile({ db, enqueue, clock }: ReconcileDeps): Promise<void> {
  for (const { id, attempt } of await recoverJobs(db, JOB_SILENCE_MS)) {
    await enqueue('training.run', { jobId: id }, { id: attemptQueueId(id, attempt) });
  }
  await expirePromotions(db);
  for (const promotionId of await runSchedules(db, clock.now()))
    await enqueue('promotion.decide', { promotionId }, { id: promotionId });
  // an id that changes slowly: a delivery that is stuck with a dead worker does not hold the next one back for long
  const era = Math.floor(clock.now() / 5000);
  for (const id of await overduePromotions(db, PROMOTION_SILENCE_MS)) {
    await enqueue('promotion.decide', { promotionId: id }, { id: `${id}-${era}` });
  }
  for (const id of await overdueRollouts(db, 3 * LOOK_EVERY_MS)) {
    await enqueue('rollout.advance', { rolloutId: id }, { id: `${id}-late-${era}` });
  }
  for (const id of await overdueBandits(db, 3 * LOOK_EVERY_MS)) {
    await enqueue('bandit.adjust', { endpointId: id }, { id: `${id}-bandit-late-${era}` });
  }
  await reconcilePredictions({ db, enqueue });
  await forgetStatistics(db);
}

/** Asynchronous and batch predictions, and webhooks. */
async function reconcilePredictions({ db, enqueue }: Pick<ReconcileDeps, 'db' | 'enqueue'>): Promise<void> {
  for (const deliveryId of [...(await recoverPredictions(db)), ...(await failLate(db))])
    await enqueue('webhook.send', { deliveryId }, { id: deliveryId });
  for (const { id, attempt } of await overdue(db, 'predictions'))
    await enqueue('prediction.run', { predictionId: id }, { id: attemptQueueId(id, attempt) });
  await recoverBatches(db);
  await failLateBatches(db);
  for (const { id, attempt } of await overdue(db, 'batch_predictions'))
    await enqueue('batch.run', { batchId: id }, { id: attemptQueueId(id, attempt) });
  for (const { id, lease } of await waitingSubscriptions(db))
    await enqueue('webhook.push', { subscriptionId: id }, { id: attemptQueueId(id, lease) });
  for (const { id, attempt } of await overdue(db, 'webhook_deliveries'))
    await enqueue('webhook.send', { deliveryId: id }, { id: attemptQueueId(id, attempt) });
}
