/** Who is told of a project's events: subscriptions, and how far each of them has come. */
import { sql } from 'kysely';
import { AppError } from '../../errors.js';
import { emit, eventsAfter, lastEvent, WEBHOOK_TEST } from '../events/store.js';
import { newId } from '../id.js';
import { fromNow, LOOK_AFTER_MS } from '../ownership.js';
import type { Db } from '../schema.js';
import { messageOf, type WebhookFormat } from './cloud-event.js';
import { EVENT_MS } from './send.js';

/** Of one project: each may hold a place of a worker while its receiver hangs. */
export const MOST_SUBSCRIPTIONS = 16;
/** Events that stand as deliveries ahead of what was sent; the others wait among the events. */
const MOST_AHEAD = 100;

export interface NewSubscription {
  readonly project: string;
  readonly url: string;
  readonly kinds: readonly string[];
  readonly format: WebhookFormat;
  readonly enabled: boolean;
  readonly actor: string;
}

/** Subscribes to what happens from now on. Answers the subscription's id. */
export async function subscribe(db: Db, input: NewSubscription): Promise<string> {
  const { project, url, kinds, format, enabled, actor } = input;
  return db.transaction().execute(async (tx) => {
    // one at a time, so that their number is known
    await tx.selectFrom('projects').select('name').where('name', '=', project).forUpdate().execute();
    const others = await listSubscriptions(tx, project);
    if (others.length >= MOST_SUBSCRIPTIONS)
      throw new AppError(
        'conflict',
        `the project has ${others.length} webhooks; at most ${MOST_SUBSCRIPTIONS} are kept`,
      );
    const id = newId('ws');
    const cursor = await lastEvent(tx);
    await tx
      .insertInto('webhook_subscriptions')
      .values({ id, project, url, kinds: [...kinds], format, enabled, cursor })
      .execute();
    await tell(tx, { id, project }, 'created', { url, kinds, actor });
    return id;
  });
}

export async function listSubscriptions(db: Db, project: string) {
  return db
    .selectFrom('webhook_subscriptions')
    .selectAll()
    .where('project', '=', project)
    .orderBy('created_at')
    .execute();
}

/** Removes a subscription; what was not sent is not. */
export async function unsubscribe(db: Db, project: string, id: string, actor: string): Promise<void> {
  await db.transaction().execute(async (tx) => {
    const done = await tx
      .deleteFrom('webhook_subscriptions')
      .where('project', '=', project)
      .where('id', '=', id)
      .executeTakeFirst();
    if (done.numDeletedRows === 0n) throw unknown(id);
    await tx
      .updateTable('webhook_deliveries')
      .set({ state: 'failed', reason: 'the webhook was deleted', ended_at: fromNow(0) })
      .where('subscription_id', '=', id)
      .where('state', '=', 'queued')
      .execute();
    await tell(tx, { id, project }, 'deleted', { actor });
  });
}

/** Stops a subscription for a while, or lets it go on from where it was. */
export async function setEnabled(
  db: Db,
  { project, id, enabled, reason }: { project: string; id: string; enabled: boolean; reason: string },
): Promise<void> {
  await db.transaction().execute(async (tx) => {
    const row = await tx
      .selectFrom('webhook_subscriptions')
      .select('enabled')
      .where('project', '=', project)
      .where('id', '=', id)
      .forUpdate()
      .executeTakeFirst();
    if (!row) throw unknown(id);
    await tx
      .updateTable('webhook_subscriptions')
      .set({ enabled, reason: enabled ? '' : reason, due_at: fromNow(0) })
      .where('id', '=', id)
      .execute();
    if (row.enabled !== enabled) await tell(tx, { id, project }, enabled ? 'enabled' : 'disabled', { reason });
  });
}

/** Has a test sent to a subscription's receiver, behind what it waits for already. */
export async function testSubscription(db: Db, project: string, id: string, actor: string): Promise<void> {
  const known = (await listSubscriptions(db, project)).find((row) => row.id === id);
  if (!known) throw unknown(id);
  if (!known.enabled) throw new AppError('conflict', `webhook ${id} is disabled: ${known.reason || 'enable it first'}`);
  await db.transaction().execute((tx) => tell(tx, { id, project }, 'test', { actor }));
}

async function tell(
  tx: Db,
  { id, project }: { readonly id: string; readonly project: string },
  what: 'created' | 'deleted' | 'enabled' | 'disabled' | 'test',
  data: Readonly<Record<string, unknown>>,
): Promise<void> {
  await emit(tx, { project, kind: `webhook.${what}`, subject: `webhook/${id}`, data: { webhook: id, ...data } });
}

function unknown(id: string): AppError {
  return new AppError('not_found', `there is no webhook "${id}"`, { details: { webhook: id } });
}

/** Subscriptions that nobody holds, whose time has come, and for whom there is something. */
export async function waitingSubscriptions(db: Db): Promise<{ id: string; lease: number }[]> {
  const { rows } = await sql<{ id: string; lease: number }>`
    select s.id, s.lease from webhook_subscriptions s
    where s.enabled and s.due_at <= now() and s.leased_until <= now()
      and (exists (select from events e where e.project = s.project and e.seq > s.cursor)
        or exists (select from webhook_deliveries d where d.subscription_id = s.id and d.state = 'queued'))`.execute(
    db,
  );
  return rows;
}

/** A worker's hold on a subscription. */
export interface Lease {
  readonly id: string;
  readonly project: string;
  readonly lease: number;
}

/** Takes a subscription for a while; undefined when it is another's, disabled, or not its time. */
export async function leaseSubscription(db: Db, id: string, forMs: number): Promise<Lease | undefined> {
  return db
    .updateTable('webhook_subscriptions')
    .set((eb) => ({ lease: eb('lease', '+', 1), leased_until: fromNow(forMs) }))
    .where('id', '=', id)
    .where('enabled', '=', true)
    .where('due_at', '<=', fromNow(0))
    .where('leased_until', '<=', fromNow(0))
    .returning(['id', 'project', 'lease'])
    .executeTakeFirst();
}

/** Holds on; false when it is another's by now, or disabled. */
export async function renewLease(db: Db, { id, lease }: Lease, forMs: number): Promise<boolean> {
  const done = await db
    .updateTable('webhook_subscriptions')
    .set({ leased_until: fromNow(forMs) })
    .where('id', '=', id)
    .where('lease', '=', lease)
    .where('enabled', '=', true)
    .executeTakeFirst();
  return done.numUpdatedRows === 1n;
}

/** Lets go, to be taken again after a while. */
export async function releaseLease(db: Db, { id, lease }: Lease, inMs: number, reason: string): Promise<void> {
  await db
    .updateTable('webhook_subscriptions')
    .set({ leased_until: fromNow(0), due_at: fromNow(inMs), reason })
    .where('id', '=', id)
    .where('lease', '=', lease)
    .where('enabled', '=', true)
    .execute();
}

/**
 * Makes deliveries of the events behind the cursor and moves it, in one transaction: each event becomes one delivery of each
 * subscription that wants it. Answers the delivery that is next; undefined when nothing waits.
 */
export async function nextDelivery(db: Db, { id, lease }: Lease): Promise<string | undefined> {
  const head = await headOf(db, id);
  if (head !== undefined) return head;
  const mine = db.selectFrom('webhook_subscriptions').selectAll().where('id', '=', id).where('lease', '=', lease);
  const subscription = await mine.executeTakeFirst();
  if (!subscription) return undefined;
  const { project, url, kinds, format, cursor } = subscription;
  const { events, upTo } = await wanted(db, { id, project, kinds, cursor });
  if (upTo === cursor) return undefined;
  return db.transaction().execute(async (tx) => {
    const moved = await tx
      .updateTable('webhook_subscriptions')
      .set({ cursor: upTo })
      .where('id', '=', id)
      .where('lease', '=', lease)
      .where('cursor', '=', cursor)
      .executeTakeFirst();
    if (moved.numUpdatedRows === 0n) return undefined;
    for (const event of events) {
      const { headers, body } = messageOf(event, format);
      await tx
        .insertInto('webhook_deliveries')
        .values({
          id: newId('wh'),
          project,
          subject: event.subject,
          url,
          body,
          headers: JSON.stringify(headers),
          look_at: fromNow(LOOK_AFTER_MS),
          subscription_id: id,
          seq: event.seq,
          give_up_at: new Date(event.at.getTime() + EVENT_MS),
        })
        .execute();
    }
    return headOf(tx, id);
  });
}

/** The next events that a subscription wants. A test is for the one that is tested, whatever it wants. */
async function wanted(
  db: Db,
  { id, project, kinds, cursor }: { id: string; project: string; kinds: readonly string[]; cursor: number },
) {
  // `like` knows no exception: the test is asked for, and those of others are left out
  const { events, upTo } = await eventsAfter(db, project, cursor, MOST_AHEAD, { kinds: [...kinds, WEBHOOK_TEST] });
  const own = events.filter(({ kind, subject }) => kind !== WEBHOOK_TEST || subject === `webhook/${id}`);
  return { events: own, upTo };
}

async function headOf(db: Db, id: string): Promise<string | undefined> {
  const row = await db
    .selectFrom('webhook_deliveries')
    .select('id')
    .where('subscription_id', '=', id)
    .where('state', '=', 'queued')
    .orderBy('seq')
    .limit(1)
    .executeTakeFirst();
  return row?.id;
}
