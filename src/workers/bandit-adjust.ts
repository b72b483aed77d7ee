import type { Clock } from '../clock.js';
import { adjustBandit } from '../core/bandit/adjust.js';
import type { Enqueue, JobHandler } from '../core/jobs.js';
import type { Db } from '../core/schema.js';

/** Looks at an endpoint's rewards, moves its traffic, and asks for the next look. Should that be lost, the reconcile pass asks. */
export function createBanditAdjust(deps: { db: Db; enqueue: Enqueue; clock: Clock }): JobHandler<'bandit.adjust'> {
  return async ({ endpointId }) => {
    const next = await adjustBandit(deps.db, endpointId, deps.clock.now());
    if (next === undefined) return;
    const delayMs = Math.max(0, next - deps.clock.now());
    await deps.enqueue('bandit.adjust', { endpointId }, { id: `${endpointId}-bandit-${next}`, delayMs });
  };
}
