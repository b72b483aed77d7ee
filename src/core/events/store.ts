import { sql } from 'kysely';
import type { Db } from '../schema.js';
import { type EventFilter, likePattern } from './filter.js';

/** A change of state that people and programs may want to follow. `subject` is the resource, such as `rollout/ro_…`. */
export interface NewEvent {
  readonly project: string;
  readonly kind: string;
  readonly subject: string;
  readonly data: Readonly<Record<string, unknown>>;
}

/** Writes an event in the transaction of the change that it tells of, and wakes who listens once that commits. */
export async function emit(db: Db, event: NewEvent): Promise<void> {
  await db
    .insertInto('events')
    .values({ ...event, data: JSON.stringify(event.data) })
    .execute();
  await sql`select pg_notify('sluice_events', ${event.project})`.execute(db);
}

/** How long a gap in the sequence may be one that a transaction under way still fills; transactions here are short. */
const SETTLE_MS = 3000;

/** Gaps are looked for among so many of the newest events. */
const SETTLE_EVENTS = 1000;

/** Where a subscription's test stands among the events; nobody else is sent it. */
export const WEBHOOK_TEST = 'webhook.test';

/**
 * Events of a project after a sequence number, oldest first. A number is taken before its transaction commits, so a lower
 * one can appear after a higher one: what stands behind a gap that may still fill is `held` back, and a reader that goes
 * on from the last number it saw misses nothing. `upTo`: everything up to there was looked at, wanted or not.
 */
export async function eventsAfter(db: Db, project: string, after: number, limit = 500, filter: EventFilter = {}) {
  const { kinds, subject } = filter;
  // one snapshot of both reads: a gap that appears in between is not overlooked
  return db
    .transaction()
    .setIsolationLevel('repeatable read')
    .execute(async (tx) => {
      const unsettled = await firstUnsettled(tx);
      const events = await tx
        .selectFrom('events')
        .selectAll()
        .where('project', '=', project)
        .where('seq', '>', after)
        .$if(unsettled !== undefined, (query) => query.where('seq', '<', unsettled as number))
        .$if(kinds !== undefined, (query) =>
          query.where(sql<boolean>`kind like any(${(kinds ?? []).map(likePattern)}::text[])`),
        )
        .$if(subject !== undefined, (query) => query.where('subject', '=', subject ?? ''))
        .orderBy('seq')
        .limit(limit)
        .execute();
      const full = events.length === limit;
      const settled = full ? undefined : await lastOf(tx, project, unsettled);
      const upTo = Math.max(after, events.at(-1)?.seq ?? 0, settled ?? 0);
      return { events, upTo, held: unsettled !== undefined && !full };
    });
}

async function lastOf(db: Db, project: string, unsettled: number | undefined): Promise<number> {
  const row = await db
    .selectFrom('events')
    .select((e) => e.fn.max('seq').as('seq'))
    .where('project', '=', project)
    .$if(unsettled !== undefined, (query) => query.where('seq', '<', unsettled as number))
    .executeTakeFirst();
  return Number(row?.seq ?? 0);
}

/** The newest sequence number, from which a listener that wants only what is new begins. */
export async function lastEvent(db: Db): Promise<number> {
  const unsettled = await firstUnsettled(db);
  const row = await db
    .selectFrom('events')
    .select((e) => e.fn.max('seq').as('seq'))
    .$if(unsettled !== undefined, (query) => query.where('seq', '<', unsettled as number))
    .executeTakeFirst();
  return Number(row?.seq ?? 0);
}

/** The first young event whose predecessor in the sequence cannot be seen. */
async function firstUnsettled(db: Db): Promise<number | undefined> {
  const { rows } = await sql<{ seq: number | null }>`
    select min(e.seq) as seq from events e
    where e.seq > (select coalesce(max(seq), 0) - ${SETTLE_EVENTS}::bigint from events)
      and e.seq > 1 and e.at > now() - ${SETTLE_MS}::float8 * interval '1 millisecond'
      and not exists (select from events b where b.seq = e.seq - 1)`.execute(db);
  return rows[0]?.seq ?? undefined;
}
