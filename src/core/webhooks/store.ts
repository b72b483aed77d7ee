/** Webhooks that are to be delivered, and the secrets that they are signed with. */
import { sql } from 'kysely';
import { newId } from '../id.js';
import { fromNow, LOOK_AFTER_MS } from '../ownership.js';
import type { Db } from '../schema.js';
import type { DeliveryState } from './delivery-state.js';
import { newSecret } from './signature.js';

/** How long a try may take altogether; one whose worker died is due again afterwards. */
export const TRY_MS = 30_000;

export interface NewDelivery {
  readonly project: string;
  /** What it tells of, such as `prediction/pr_…`. */
  readonly subject: string;
  readonly url: string;
  readonly payload: Readonly<Record<string, unknown>>;
}

/** Writes a webhook in the transaction of the change that it tells of; answers its id, to be enqueued after the commit. */
export async function addDelivery(db: Db, { project, subject, url, payload }: NewDelivery): Promise<string> {
  const id = newId('wh');
  const body = JSON.stringify(payload);
  await db
    .insertInto('webhook_deliveries')
    .values({ id, project, subject, url, body, look_at: fromNow(LOOK_AFTER_MS) })
    .execute();
  return id;
}

/** The project's secret, made when it is first asked for. */
export async function webhookSecret(db: Db, project: string): Promise<string> {
  const known = () =>
    db.selectFrom('webhook_secrets').select('secret').where('project', '=', project).executeTakeFirst();
  const before = await known();
  if (before) return before.secret;
  await db
    .insertInto('webhook_secrets')
    .values({ project, secret: newSecret() })
    .onConflict((conflict) => conflict.doNothing())
    .execute();
  return (await known())?.secret ?? '';
}

/**
 * Takes a delivery that is due for one try. Nobody else gets it before the try has run out, so that a worker that dies
 * with it only delays it.
 */
export async function claimDelivery(db: Db, id: string) {
  return db
    .updateTable('webhook_deliveries')
    .set((eb) => ({
      attempt: eb('attempt', '+', 1),
      due_at: fromNow(TRY_MS),
      look_at: fromNow(TRY_MS + LOOK_AFTER_MS),
    }))
    .where('id', '=', id)
    .where('state', '=', 'queued')
    .where('due_at', '<=', fromNow(1000))
    .returningAll()
    .executeTakeFirst();
}

export interface TryOutcome {
  readonly state: DeliveryState;
  /** Of the answer, if there was one. */
  readonly status: number | null;
  readonly reason: string;
  /** When to try again, where it is `queued`. */
  readonly inMs: number;
}

/** Notes what became of a try. */
export async function noteTry(
  db: Db,
  { id, attempt }: { readonly id: string; readonly attempt: number },
  { state, status, reason, inMs }: TryOutcome,
): Promise<void> {
  await db
    .updateTable('webhook_deliveries')
    .set({
      state,
      status,
      reason,
      due_at: fromNow(inMs),
      look_at: fromNow(inMs + LOOK_AFTER_MS),
      ...(state === 'queued' ? {} : { ended_at: sql<Date>`now()` }),
    })
    .where('id', '=', id)
    .where('state', '=', 'queued')
    .where('attempt', '=', attempt)
    .execute();
}

/** Deliveries of a project, newest first. */
export async function listDeliveries(
  db: Db,
  project: string,
  {
    state,
    webhook,
    limit,
  }: { readonly state?: DeliveryState | undefined; readonly webhook?: string | undefined; readonly limit: number },
) {
  return db
    .selectFrom('webhook_deliveries')
    .selectAll()
    .where('project', '=', project)
    .$if(state !== undefined, (query) => query.where('state', '=', state as DeliveryState))
    .$if(webhook !== undefined, (query) => query.where('subscription_id', '=', webhook ?? ''))
    .orderBy('created_at', 'desc')
    .orderBy('seq', 'desc')
    .limit(limit)
    .execute();
}

/** Removes deliveries that ended longer ago than this. */
export async function forgetDeliveries(db: Db, afterMs: number): Promise<void> {
  await db.deleteFrom('webhook_deliveries').where('ended_at', '<', fromNow(-afterMs)).execute();
}
