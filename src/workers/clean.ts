/** Removes what nobody needs any more: old results, their blobs, keys and addresses of the dead. Harmless to run anywhere. */
import { forgetInternalKeys } from '../core/access/store.js';
import { forgetParts } from '../core/batch/parts.js';
import { sweepBlobs } from '../core/blob-references.js';
import type { Blobs } from '../core/blobs.js';
import { forgetFeedback } from '../core/feedback/store.js';
import { forgetDeadGateways } from '../core/gateways/store.js';
import { forgetCheckpoints } from '../core/pods/jobs.js';
import { forgetPredictions } from '../core/predictions/store.js';
import type { Db } from '../core/schema.js';
import { forgetDeliveries } from '../core/webhooks/store.js';

export interface CleanDeps {
  readonly db: Db;
  readonly blobs: Blobs;
  /** How long the result of an asynchronous prediction, and what became of a webhook, is kept. */
  readonly keepMs: number;
}

/** One pass. Answers whether there may be more to remove at once. */
export async function clean({ db, blobs, keepMs }: CleanDeps): Promise<boolean> {
  const predictions = await forgetPredictions(db, keepMs);
  const batches = await forgetParts(db);
  const checkpoints = await forgetCheckpoints(db);
  const swept = await sweepBlobs(db, blobs);
  await forgetDeliveries(db, keepMs);
  await forgetFeedback(db);
  await forgetInternalKeys(db);
  await forgetDeadGateways(db);
  return predictions + batches + checkpoints + swept > 0;
}
