import { type Kysely, sql } from 'kysely';

/** What clusters need: what a revision may use, and where it answers. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) await sql.raw(statement).execute(db);
}

const STATEMENTS = [
  `alter table endpoints add column placement jsonb not null default '{}'`,
  `alter table revisions add column placement jsonb not null default '{}'`,
  `create table revision_addresses (
    endpoint_id text not null references endpoints(id), revision integer not null,
    url text, host text, problem text not null default '', updated_at timestamptz not null default now(),
    primary key (endpoint_id, revision))`,
  `alter table jobs add column checkpoint_digest text, add column outputs_digest text`,
  `create index jobs_checkpoint on jobs (checkpoint_digest) where checkpoint_digest is not null`,
  `create index jobs_outputs on jobs (outputs_digest) where outputs_digest is not null`,
];
