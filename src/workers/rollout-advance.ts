import type { Clock } from '../clock.js';
import type { Enqueue, JobHandler } from '../core/jobs.js';
import { advanceRollout } from '../core/rollouts/advance.js';
import { type MeasureDeps, measure } from '../core/rollouts/measure.js';
import type { Db } from '../core/schema.js';
import { messageOf } from '../errors.js';
import type { Log } from '../log.js';

export interface RolloutAdvanceDeps {
  readonly db: Db;
  readonly enqueue: Enqueue;
  readonly clock: Clock;
  readonly log: Log;
  readonly measuring: Pick<MeasureDeps, 'ask' | 'askOwn' | 'prometheusUrl'>;
}

/** Looks at a rollout, moves it on, and asks for the next look. Should that be lost, the reconcile pass asks again. */
export function createRolloutAdvance(deps: RolloutAdvanceDeps): JobHandler<'rollout.advance'> {
  const { db, clock, log, measuring } = deps;
  return async ({ rolloutId }, signal) => {
    // a look does not wait for what others take their time to answer: what they say counts from a later look on
    measure({ ...measuring, db, clock }, rolloutId, signal).catch((error) =>
      log.warn('measuring for a rollout failed; it is tried again', { rollout: rolloutId, error: messageOf(error) }),
    );
    const next = await advanceRollout(db, rolloutId, clock);
    if (next === undefined) return;
    const delayMs = Math.max(0, next - clock.now());
    await deps.enqueue('rollout.advance', { rolloutId }, { id: `${rolloutId}-${next}`, delayMs });
  };
}
