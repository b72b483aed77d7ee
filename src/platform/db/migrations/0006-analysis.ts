import { type Kysely, sql } from 'kysely';

/** What a rollout's analysis keeps: what was fixed when its comparison began, its last verdict, what was asked elsewhere. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) await sql.raw(statement).execute(db);
  await listPlans(db);
}

/** Rewrites the plans that name no list of metrics. */
export async function listPlans<T>(db: Kysely<T>): Promise<void> {
  for (const statement of PLANS) await sql.raw(statement).execute(db);
}

/** Plans named two metrics by fields of their own; now they list them. */
const listed = (analysis: string) => `
  ((${analysis}) - '{maxErrorIncrease,maxSlowIncrease,slowFactor}'::text[]) || jsonb_build_object(
    'minStableRequests', 0, 'warmupRequests', 0, 'warmupSec', 0,
    'metrics', jsonb_build_array(
      jsonb_build_object('kind', 'errors', 'weight', 1, 'maxIncrease', (${analysis})->'maxErrorIncrease'),
      jsonb_build_object('kind', 'latency', 'weight', 1, 'quantile', 0.95,
        'slowFactor', (${analysis})->'slowFactor', 'maxIncrease', (${analysis})->'maxSlowIncrease')))`;

const PLANS = [
  `update endpoints set policy = jsonb_set(policy, '{rollout,analysis}', ${listed("policy->'rollout'->'analysis'")})
    where (policy->'rollout'->'analysis') ? 'maxErrorIncrease'`,
  `update rollouts set plan = jsonb_set(plan, '{analysis}', ${listed("plan->'analysis'")})
    where (plan->'analysis') ? 'maxErrorIncrease'`,
];

const STATEMENTS = [
  'alter table rollouts add column comparison jsonb, add column analysis jsonb',
  `create table rollout_measurements (
    rollout_id text not null, metric text not null, due_at timestamptz not null,
    measured jsonb not null default '{}', primary key (rollout_id, metric))`,
];
