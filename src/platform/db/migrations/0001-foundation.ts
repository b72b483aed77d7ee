import { type Kysely, sql } from 'kysely';

/** All tables of the first release. Migrations are only ever added; a released one is never edited. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) await sql.raw(statement).execute(db);
}

const STATEMENTS = [
  `create table projects (name text primary key, created_at timestamptz not null default now())`,
  `insert into projects (name) values ('default')`,
  `create table api_keys (
    id text primary key, project text not null references projects(name), name text not null,
    hash text not null unique, hint text not null, role text not null check (role in ('admin', 'predict')),
    created_at timestamptz not null default now(), expires_at timestamptz, revoked_at timestamptz)`,
  `create table blobs (
    project text not null references projects(name), digest text not null, bytes bigint not null,
    created_at timestamptz not null default now(), primary key (project, digest))`,
  `create table datasets (
    project text not null references projects(name), name text not null, version integer not null,
    digest text not null, bytes bigint not null, created_at timestamptz not null default now(),
    primary key (project, name, version))`,
  `create table models (
    project text not null references projects(name), name text not null, description text not null default '',
    last_version integer not null default 0, created_at timestamptz not null default now(), primary key (project, name))`,
  `create table model_versions (
    project text not null, model text not null, version integer not null, artifact jsonb not null,
    framework text not null, signature jsonb not null, metrics jsonb not null, lineage jsonb not null,
    source text not null, created_at timestamptz not null default now(),
    primary key (project, model, version), unique (project, model, source),
    foreign key (project, model) references models(project, name))`,
  `create table model_aliases (
    project text not null, model text not null, alias text not null, version integer not null,
    updated_at timestamptz not null default now(), primary key (project, model, alias),
    foreign key (project, model, version) references model_versions(project, model, version))`,
  `create table alias_changes (
    id bigserial primary key, project text not null, model text not null, alias text not null,
    from_version integer, to_version integer, actor text not null, reason text not null, at timestamptz not null default now())`,
  `create index alias_changes_of on alias_changes (project, model, alias, id)`,
  `create table endpoints (
    id text primary key, project text not null references projects(name), name text not null, model text not null,
    access text not null check (access in ('key', 'public')), scaling jsonb not null, routing jsonb not null,
    policy jsonb not null, traffic jsonb not null default '[]', generation integer not null default 0,
    last_revision integer not null default 0, created_at timestamptz not null default now(), deleted_at timestamptz)`,
  `create unique index endpoints_name on endpoints (project, name) where deleted_at is null`,
  `create table revisions (
    endpoint_id text not null references endpoints(id), number integer not null, model text not null,
    model_version integer not null, artifact jsonb not null, framework text not null, scaling jsonb not null,
    warm_until timestamptz, reason text not null default '', created_at timestamptz not null default now(),
    primary key (endpoint_id, number))`,
  `create table traffic_changes (
    id bigserial primary key, endpoint_id text not null references endpoints(id), generation integer not null,
    traffic jsonb not null, actor text not null, reason text not null, at timestamptz not null default now(),
    unique (endpoint_id, generation))`,
  `create table promotions (
    id text primary key, project text not null, endpoint_id text not null references endpoints(id), endpoint text not null,
    model text not null, version integer not null, job_id text, state text not null, gates jsonb not null default '[]',
    reason text not null default '', rollout_id text, tries integer not null default 0, owner text, heartbeat_at timestamptz,
    created_at timestamptz not null default now(), ended_at timestamptz, unique (endpoint_id, model, version))`,
  `create table rollouts (
    id text primary key, project text not null, endpoint_id text not null references endpoints(id), endpoint text not null,
    candidate integer not null, stable integer not null, plan jsonb not null, state text not null,
    step integer not null, step_started_at timestamptz not null default now(), compared_since timestamptz,
    slow_ms double precision, reason text not null default '',
    promotion_id text, created_at timestamptz not null default now(), ended_at timestamptz,
    next_at timestamptz not null default now())`,
  // at most one rollout of an endpoint is in flight, whoever starts them
  `create unique index rollouts_in_flight on rollouts (endpoint_id) where ended_at is null`,
  `create table rollout_events (
    id bigserial primary key, rollout_id text not null references rollouts(id), at timestamptz not null default now(),
    kind text not null, message text not null, data jsonb not null)`,
  `create index rollout_events_of on rollout_events (rollout_id, id)`,
  `create table revision_status (
    endpoint_id text not null, revision integer not null, gateway text not null, ready integer not null,
    starting integer not null, failing boolean not null default false, message text not null default '', updated_at timestamptz not null default now(),
    primary key (endpoint_id, revision, gateway))`,
  `create table revision_stats (
    endpoint_id text not null, revision integer not null, gateway text not null, second timestamptz not null,
    requests integer not null, errors integer not null, latency integer[] not null,
    primary key (endpoint_id, revision, second, gateway))`,
  `create index revision_stats_age on revision_stats (second)`,
  `create table jobs (
    id text primary key, project text not null references projects(name), name text not null, spec jsonb not null,
    state text not null, phase text not null default '', attempt integer not null default 0,
    lost_attempts integer not null default 0, owner text,
    heartbeat_at timestamptz, cancel_requested_at timestamptz, reason text not null default '', exit_code integer,
    version integer, request_key text, created_at timestamptz not null default now(), started_at timestamptz, ended_at timestamptz)`,
  `create unique index jobs_request_key on jobs (project, request_key) where request_key is not null`,
  `create index jobs_open on jobs (state) where ended_at is null`,
  `create index jobs_recent on jobs (project, created_at desc)`,
  `create table job_logs (
    seq bigserial primary key, job_id text not null references jobs(id), attempt integer not null,
    stream text not null, text text not null, at timestamptz not null default now())`,
  `create index job_logs_of on job_logs (job_id, seq)`,
  `create table job_metrics (
    seq bigserial primary key, job_id text not null references jobs(id), attempt integer not null, name text not null,
    value double precision not null, step double precision, at timestamptz not null default now())`,
  `create index job_metrics_of on job_metrics (job_id, seq)`,
  `create table events (
    seq bigserial primary key, project text not null, kind text not null, subject text not null,
    data jsonb not null, at timestamptz not null default now())`,
  `create index events_of on events (project, seq)`,
];
