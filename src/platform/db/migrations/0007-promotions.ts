import { type Kysely, sql } from 'kysely';

/** Promotions that are opened by more than jobs, wait for people, and keep a row for each time that a version was tried. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) await sql.raw(statement).execute(db);
}

const STATEMENTS = [
  // a version that is tried again is another promotion; only of those under way there is one
  `alter table promotions drop constraint promotions_endpoint_id_model_version_key`,
  `create unique index promotions_under_way on promotions (endpoint_id, model, version) where ended_at is null`,
  `create index promotions_of_version on promotions (project, model, version)`,
  `create index promotions_of_endpoint on promotions (endpoint_id, created_at)`,
  `alter table promotions
    add column trigger jsonb not null default '{"on":"request"}', add column requested_by text,
    add column opened_over integer not null default 0, add column champion integer, add column round integer not null default 0,
    add column revision integer, add column approval jsonb, add column expires_at timestamptz`,
  `update promotions set trigger = jsonb_build_object('on', 'job_succeeded', 'job', job_id) where job_id is not null`,
  `create index promotions_expiring on promotions (expires_at) where state = 'awaiting_approval'`,
  `create table promotion_approvals (
    promotion_id text not null references promotions(id), round integer not null, actor text not null,
    verdict text not null, comment text not null default '', at timestamptz not null default clock_timestamp(),
    primary key (promotion_id, round, actor))`,
  `create table promotion_schedules (
    endpoint_id text not null references endpoints(id), cron text not null, timezone text not null, version text not null,
    next_at timestamptz not null, last_at timestamptz, outcome text not null default '',
    primary key (endpoint_id, cron, timezone, version))`,
  `create index promotion_schedules_next on promotion_schedules (next_at)`,
  `create index endpoints_scheduled on endpoints (id) where policy @> '{"triggers":[{"on":"schedule"}]}'`,
  `create table promotion_hooks (
    id text primary key, project text not null, endpoint_id text not null references endpoints(id), endpoint text not null,
    name text not null, hash text not null unique, hint text not null, created_by text not null,
    created_at timestamptz not null default now(), rotated_at timestamptz, used_at timestamptz, uses integer not null default 0,
    revoked_at timestamptz)`,
  `create index promotion_hooks_of on promotion_hooks (endpoint_id)`,
  // what served from when to when, by version
  `create index revisions_of_version on revisions (model, model_version)`,
  `update endpoints set policy = '{"triggers":[{"on":"job_succeeded"}],"newestWins":true,
    "approval":{"kind":"automatic","expirySec":604800}}'::jsonb || policy`,
];
