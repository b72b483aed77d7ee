import { sql } from 'kysely';
import { expect, it } from 'vitest';
import { getEndpoint } from '../../src/core/endpoints/store.js';
import { rolloutPlanSchema } from '../../src/core/rollouts/plan.js';
import { listPlans } from '../../src/platform/db/migrations/0006-analysis.js';
import { addEndpoint, migratedDatabase } from '../support/store-bench.js';

it('plans of before there was a list of metrics compare by the same two', async () => {
  const db = await migratedDatabase();
  await addEndpoint(db, 'old');
  const before = { minRequests: 60, maxErrorIncrease: 0.2, maxSlowIncrease: 0.9, slowFactor: 10, alpha: 0.05 };
  await sql`update endpoints set policy = jsonb_set(policy, '{rollout,analysis}', ${JSON.stringify(before)}::jsonb)`.execute(
    db,
  );
  await listPlans(db);
  await listPlans(db);
  const { rollout } = (await getEndpoint(db, 'default', 'old')).policy;
  const metrics = [
    { kind: 'errors', maxIncrease: 0.2 },
    { kind: 'latency', maxIncrease: 0.9, slowFactor: 10 },
  ];
  expect(rollout).toEqual(rolloutPlanSchema.parse({ analysis: { minRequests: 60, metrics } }));
});
