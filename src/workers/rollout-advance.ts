import type { Clock } from '../clock.js';
import type { Enqueue, JobHandler } from '../core/jobs.js';
import { advanceRollout } from '../core/rollouts/advance.js';
import type { Db } from '../core/schema.js';

/** Looks at a rollout, moves it on, and asks for the next look. Should that be lost, the reconcile pass asks again. */
export function createRolloutAdvance(deps: { db: Db; enqueue: Enqueue; clock: Clock }): JobHandler<'rollout.advance'> {
  return async ({ rolloutId }) => {
    const next = await advanceRollout(deps.db, rolloutId, deps.clock);
    if (next === undefined) return;
    const delayMs = Math.max(0, next - deps.clock.now());
    await deps.enqueue('rollout.advance', { rolloutId }, { id: `${rolloutId}-${next}`, delayMs });
  };
}
