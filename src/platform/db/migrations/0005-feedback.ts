import { type Kysely, sql } from 'kysely';

/** What clients report of answers, the traffic that follows it, and who is told of events. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) await sql.raw(statement).execute(db);
}

const STATEMENTS = [
  // two UUIDs: 244 bits of chance, one secret for each endpoint
  `alter table endpoints add column feedback_secret text not null
    default gen_random_uuid()::text || gen_random_uuid()::text`,
  `create table feedback (
    endpoint_id text not null, key text not null, metric text not null, revision integer not null,
    value double precision not null, at timestamptz not null, reported_at timestamptz not null default now(),
    primary key (endpoint_id, key, metric))`,
  `create index feedback_age on feedback (reported_at)`,
  `create table feedback_sums (
    endpoint_id text not null, revision integer not null, metric text not null, minute timestamptz not null,
    count bigint not null, sum double precision not null,
    primary key (endpoint_id, minute, revision, metric))`,
  `create index feedback_sums_age on feedback_sums (minute)`,
  `create table bandits (
    endpoint_id text primary key, next_at timestamptz not null, changed_at timestamptz, reason text not null default '')`,
  `create index endpoints_with_bandit on endpoints (id)
    where routing->'bandit'->>'enabled' = 'true' and deleted_at is null`,
  `create table webhook_subscriptions (
    id text primary key, project text not null references projects(name), url text not null, kinds text[] not null,
    format text not null, enabled boolean not null default true, reason text not null default '',
    cursor bigint not null, lease integer not null default 0, leased_until timestamptz not null default now(),
    due_at timestamptz not null default now(), created_at timestamptz not null default now())`,
  `create index webhook_subscriptions_of on webhook_subscriptions (project)`,
  `alter table webhook_deliveries
    add column subscription_id text, add column seq bigint,
    add column headers jsonb, add column give_up_at timestamptz`,
  `create unique index webhook_deliveries_of_subscription on webhook_deliveries (subscription_id, seq)
    where subscription_id is not null`,
  `create index webhook_deliveries_next on webhook_deliveries (subscription_id, seq) where state = 'queued'`,
];
