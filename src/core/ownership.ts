/**
 * Work that one worker holds at a time: asynchronous and batch predictions. Whoever holds a row owns an attempt of it by
 * name, and every write of an attempt names both, so that a worker that was given up cannot write into its successor's.
 */
import { type RawBuilder, sql } from 'kysely';
import type { Db } from './schema.js';
import type { WorkState } from './work-state.js';

/** The tables of such work. */
export type Work = 'predictions' | 'batch_predictions';

/** One attempt of one worker. */
export interface Hold {
  readonly id: string;
  readonly attempt: number;
  readonly owner: string;
}

/** A worker that has not been heard of for this long has lost what it held. */
export const SILENCE_MS = 15_000;
/** Whoever wrote a row enqueues it too; the reconcile pass looks after what still waits this much later. */
export const LOOK_AFTER_MS = 10_000;
/** How long the reconcile pass leaves what it enqueued alone: the queue may be long. */
const LOOK_AGAIN_MS = 30_000;
/** Rows that one pass enqueues at most. */
const LOOK_AT_MOST = 200;
/** Work that is lost with its worker so often, and gets nowhere in between, is likely what ends the workers. */
const LOST_AT_MOST = 10;

/** A moment from now, on the database's clock. */
export function fromNow(ms: number): RawBuilder<Date> {
  return sql<Date>`now() + ${ms}::float8 * interval '1 millisecond'`;
}

/** Whether a row's present attempt is this one: the condition of every write of an attempt. */
export function held({ id, attempt, owner }: Hold): RawBuilder<boolean> {
  return sql<boolean>`(id = ${id} and state = 'running' and attempt = ${attempt} and owner = ${owner})`;
}

/** Takes what waits and is due. Undefined when there is nothing to do: it runs elsewhere, waits for its time, or ended. */
export async function claim(db: Db, work: Work, id: string, owner: string): Promise<Hold | undefined> {
  // a delivery may come early by what the clocks of queue and database differ
  const { rows } = await sql<{ attempt: number }>`
    update ${sql.table(work)} set state = 'running', owner = ${owner}, heartbeat_at = now(), attempt = attempt + 1,
      started_at = coalesce(started_at, now())
    where id = ${id} and state = 'queued' and due_at <= now() + interval '1 second' returning attempt`.execute(db);
  const attempt = rows[0]?.attempt;
  return attempt === undefined ? undefined : { id, attempt, owner };
}

/** Says of everything that a worker holds that it lives. Answers what still is this worker's, and what is to be stopped. */
export async function beat(
  db: Db,
  work: Work,
  owner: string,
  ids: readonly string[],
): Promise<{ id: string; attempt: number; cancelRequested: boolean }[]> {
  const { rows } = await sql<{ id: string; attempt: number; cancelRequested: boolean }>`
    update ${sql.table(work)} set heartbeat_at = now()
    where owner = ${owner} and state = 'running' and id = any(${ids}::text[])
    returning id, attempt, cancel_requested_at is not null as "cancelRequested"`.execute(db);
  return rows;
}

/** Gives an attempt back to the queue, to be begun again after a while. False when it is no longer this worker's. */
export async function putBack(
  db: Db,
  work: Work,
  hold: Hold,
  { inMs, reason }: { inMs: number; reason: string },
): Promise<boolean> {
  const done = await sql`
    update ${sql.table(work)} set state = 'queued', owner = null, lost_in_a_row = 0, reason = ${reason},
      due_at = ${fromNow(inMs)}, look_at = ${fromNow(inMs + LOOK_AFTER_MS)}
    where ${held(hold)}`.execute(db);
  return done.numAffectedRows === 1n;
}

export interface Lost {
  readonly id: string;
  readonly project: string;
  readonly attempt: number;
  /** `queued` again, or how it ended. */
  readonly state: WorkState;
  readonly reason: string;
}

export interface LostOptions {
  /** Workers that are known to be gone, by the beginning of their name, beside those that are silent. */
  readonly deadOwner?: string | undefined;
  /** Whether a row may be run a second time. Default: all may. */
  readonly mayRepeat?: RawBuilder<boolean>;
}

/**
 * Takes back what was lost with its worker. It waits again; or ends as cancelled where that was asked for, as failed where
 * it must not run twice or was lost too often.
 */
export async function recoverLost(
  db: Db,
  work: Work,
  { deadOwner, mayRepeat = sql<boolean>`true` }: LostOptions = {},
): Promise<Lost[]> {
  const silent = sql<boolean>`heartbeat_at < ${fromNow(-SILENCE_MS)}`;
  const gone = deadOwner === undefined ? silent : sql<boolean>`(${silent} or starts_with(owner, ${deadOwner}))`;
  const cancelled = sql<boolean>`cancel_requested_at is not null`;
  const given = sql<boolean>`(not (${mayRepeat}) or lost_in_a_row + 1 >= ${LOST_AT_MOST}::integer)`;
  const { rows } = await sql<Lost>`
    update ${sql.table(work)} set
      state = case when ${cancelled} then 'cancelled' when ${given} then 'failed' else 'queued' end,
      ended_at = case when ${cancelled} or ${given} then now() end,
      owner = null, lost_in_a_row = lost_in_a_row + 1, due_at = now(), look_at = now(),
      reason = case when ${cancelled} then 'cancelled' else 'attempt ' || attempt || ' was lost with its worker' end
    where state = 'running' and ${gone}
    returning id, project, attempt, state, reason`.execute(db);
  return rows;
}

/** What waits and whose time has come, but perhaps nobody was told of; the longest first. It is left alone for a while. */
export async function overdue(db: Db, work: Work | 'webhook_deliveries'): Promise<{ id: string; attempt: number }[]> {
  // a subscription's events are sent one after the other, by whoever holds the subscription
  const own = work === 'webhook_deliveries' ? sql`and subscription_id is null` : sql``;
  const { rows } = await sql<{ id: string; attempt: number }>`
    update ${sql.table(work)} set look_at = ${fromNow(LOOK_AGAIN_MS)}
    where id in (select id from ${sql.table(work)} where state = 'queued' and look_at <= now() ${own}
      order by look_at limit ${LOOK_AT_MOST} for update skip locked)
    returning id, attempt`.execute(db);
  return rows;
}
