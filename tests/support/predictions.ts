/** Slots and predictions as promises, which tests await. */
import type { Fleet } from '../../src/core/fleet.js';
import { ask, type Call, type Reply } from '../../src/core/inference/forward.js';
import type { Lease, LeaseWaiter, Waiting } from '../../src/core/inference/pool.js';
import { type PredictOptions, predict } from '../../src/core/inference/predict.js';
import type { RevisionRoute } from '../../src/core/inference/route.js';
import { createSending } from '../../src/core/inference/sending.js';
import { AppError } from '../../src/errors.js';

/** A prediction whose answer can be awaited. */
export function predictionOf(
  fleet: Fleet,
  revision: RevisionRoute,
  call: Call,
  options: PredictOptions,
): { readonly reply: Promise<Reply>; cancel(): void } {
  return ask((sent, handler) => predict(createSending(fleet), { revision, call: sent }, options, handler), call);
}

/** A place in a queue whose end can be awaited; a cancel rejects it with `cancelled`. */
export interface AwaitedPlace extends Waiting {
  readonly lease: Promise<Lease>;
}

/** Asks for a slot, as `fleet.lease` or `pool.lease` gives it. */
export function leaseOf(from: (waiter: LeaseWaiter) => Lease | Waiting): Lease | AwaitedPlace {
  let granted: (lease: Lease) => void = () => {};
  let refused: (error: AppError) => void = () => {};
  const lease = new Promise<Lease>((resolve, reject) => {
    granted = resolve;
    refused = reject;
  });
  lease.catch(() => {});
  const got = from({ granted, refused });
  if ('replica' in got) return got;
  const cancel = () => {
    got.cancel();
    refused(new AppError('cancelled', 'the place was given up'));
  };
  return { lease, cancel };
}
