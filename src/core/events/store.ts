import { sql } from 'kysely';
import type { Db } from '../schema.js';

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

/** Events of a project after a sequence number, oldest first. */
export async function eventsAfter(db: Db, project: string, after: number, limit = 500) {
  return db
    .selectFrom('events')
    .selectAll()
    .where('project', '=', project)
    .where('seq', '>', after)
    .orderBy('seq')
    .limit(limit)
    .execute();
}

/** The newest sequence number, from which a listener that wants only what is new begins. */
export async function lastEvent(db: Db, project: string): Promise<number> {
  const row = await db
    .selectFrom('events')
    .select((e) => e.fn.max('seq').as('seq'))
    .where('project', '=', project)
    .executeTakeFirst();
  return Number(row?.seq ?? 0);
}
