import { startRollout } from '../../src/core/rollouts/moves.js';
import { rolloutPlanSchema } from '../../src/core/rollouts/plan.js';
import type { Db } from '../../src/core/schema.js';

/** Starts a rollout from revision 1 to revision 2 of an endpoint, as a promotion would. */
export async function startTestRollout(db: Db, endpoint: string): Promise<string> {
  const { id } = await db.selectFrom('endpoints').select('id').where('name', '=', endpoint).executeTakeFirstOrThrow();
  return db.transaction().execute((tx) =>
    startRollout(
      tx,
      {
        project: 'default',
        endpointId: id,
        endpoint,
        stable: 1,
        candidate: 2,
        plan: rolloutPlanSchema.parse({}),
        promotionId: null,
      },
      Date.now(),
    ),
  );
}
