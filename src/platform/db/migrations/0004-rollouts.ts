import { type Kysely, sql } from 'kysely';

/** What rollouts need beyond counts of answers: what was observed of them. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) await sql.raw(statement).execute(db);
}

const STATEMENTS = [
  `create table revision_observations (
    endpoint_id text not null, revision integer not null, gateway text not null, second timestamptz not null,
    metric text not null, count bigint not null, sum double precision not null, buckets integer[] not null default '{}',
    primary key (endpoint_id, revision, metric, second, gateway))`,
  `create index revision_observations_second on revision_observations (second)`,
];
