import { type Kysely, sql } from 'kysely';

/** What a rollout's analysis keeps: what was fixed when its comparison began, its last verdict, what was asked elsewhere. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) await sql.raw(statement).execute(db);
}

const STATEMENTS = [
  'alter table rollouts add column comparison jsonb, add column analysis jsonb',
  `create table rollout_measurements (
    rollout_id text not null, metric text not null, due_at timestamptz not null,
    measured jsonb not null default '{}', primary key (rollout_id, metric))`,
];
