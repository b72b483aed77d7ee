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

  // asynchronous and batch predictions
  `alter table api_keys add column internal boolean not null default false`,
  `create table gateways (id text primary key, url text not null, seen_at timestamptz not null default now())`,
  `create table predictions (
    id text primary key, project text not null references projects(name),
    endpoint_id text not null references endpoints(id), endpoint text not null,
    request jsonb not null, body_digest text not null, body_bytes bigint not null,
    request_key text, webhook text, trace text,
    state text not null default 'queued', attempt integer not null default 0, lost_in_a_row integer not null default 0,
    owner text, heartbeat_at timestamptz, cancel_requested_at timestamptz,
    status integer, headers jsonb, result_digest text, result_bytes bigint,
    error_code text, reason text not null default '',
    created_at timestamptz not null default now(), started_at timestamptz, ended_at timestamptz,
    due_at timestamptz not null default now(), look_at timestamptz not null, deadline_at timestamptz not null)`,
  `create unique index predictions_request_key on predictions (project, endpoint_id, request_key)
    where request_key is not null`,
  `create index predictions_waiting on predictions (look_at) where state = 'queued'`,
  `create index predictions_backlog on predictions (project) where state = 'queued'`,
  `create index predictions_held on predictions (owner) where state = 'running'`,
  `create index predictions_ended on predictions (ended_at) where ended_at is not null`,
  `create index predictions_recent on predictions (project, created_at desc)`,
  `create index predictions_body on predictions (body_digest)`,
  `create index predictions_result on predictions (result_digest) where result_digest is not null`,
  `create table batch_predictions (
    id text primary key, project text not null references projects(name), name text not null,
    endpoint_id text not null references endpoints(id), endpoint text not null,
    spec jsonb not null, input_digest text not null, input_bytes bigint not null, request_key text,
    state text not null default 'queued', phase text not null default '',
    attempt integer not null default 0, lost_in_a_row integer not null default 0,
    owner text, heartbeat_at timestamptz, cancel_requested_at timestamptz, reason text not null default '',
    plan jsonb, outputs jsonb, revision integer,
    rows_total bigint, rows_done bigint not null default 0, rows_bad bigint not null default 0,
    result_digest text, result_bytes bigint,
    created_at timestamptz not null default now(), started_at timestamptz, ended_at timestamptz,
    due_at timestamptz not null default now(), look_at timestamptz not null, deadline_at timestamptz not null)`,
  `create unique index batch_predictions_request_key on batch_predictions (project, request_key)
    where request_key is not null`,
  `create index batch_predictions_open on batch_predictions (state) where ended_at is null`,
  `create index batch_predictions_recent on batch_predictions (project, created_at desc)`,
  `create table batch_parts (
    batch_id text not null references batch_predictions(id), number integer not null,
    row bigint not null, rows integer not null, start bigint not null, stop bigint not null, line bigint not null,
    output_digest text, output_bytes bigint, bad integer not null default 0, done_at timestamptz,
    primary key (batch_id, number))`,
  `create index batch_parts_output on batch_parts (output_digest) where output_digest is not null`,
  `create table webhook_secrets (
    project text primary key references projects(name), secret text not null, created_at timestamptz not null default now())`,
  `create table webhook_deliveries (
    id text primary key, project text not null references projects(name), subject text not null, url text not null,
    body text not null, state text not null default 'queued', attempt integer not null default 0,
    status integer, reason text not null default '',
    created_at timestamptz not null default now(), ended_at timestamptz,
    due_at timestamptz not null default now(), look_at timestamptz not null)`,
  `create index webhook_deliveries_waiting on webhook_deliveries (look_at) where state = 'queued'`,
  `create index webhook_deliveries_recent on webhook_deliveries (project, created_at desc)`,
  // blobs that nothing may refer to any more; the cleaning pass looks and removes them
  `create table blob_garbage (digest text primary key, since timestamptz not null default now())`,
  `alter table endpoints
    add column payload_log jsonb,
    add column response_cache jsonb not null default '{}'`,
];
