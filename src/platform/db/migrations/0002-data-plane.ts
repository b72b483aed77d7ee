import { type Kysely, sql } from 'kysely';

/** What the data plane keeps beside the first release's tables. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) await sql.raw(statement).execute(db);
}

const STATEMENTS = [
  `alter table endpoints
    add column runtime jsonb not null default '{}',
    add column suspended boolean not null default false`,
  `alter table model_versions add column server jsonb`,
  `alter table revisions add column runtime jsonb not null default '{}', add column server jsonb`,
  `alter table endpoints
    add column payload_log jsonb,
    add column response_cache jsonb not null default '{}'`,
];
