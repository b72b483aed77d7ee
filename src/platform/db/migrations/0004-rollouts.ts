import { type Kysely, sql } from 'kysely';

/** What rollouts need: room for replicas, the way back, and what is observed of answers beside their status and latency. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) await sql.raw(statement).execute(db);
}

const STATEMENTS = [
  `alter table rollouts add column kind text not null default 'rollout', add column retry_of text,
    add column replicas integer not null default 1`,
  `alter table revisions add column warm_replicas integer not null default 1, add column replica_limit integer`,
  `alter table revision_status add column draining integer not null default 0`,
  `create table revision_observations (
    endpoint_id text not null, revision integer not null, gateway text not null, second timestamptz not null,
    metric text not null, count bigint not null, sum double precision not null, buckets integer[] not null default '{}',
    primary key (endpoint_id, revision, metric, second, gateway))`,
  `create index revision_observations_second on revision_observations (second)`,
];
