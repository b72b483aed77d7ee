/** How asynchronous predictions end: once, whoever ends them, and whoever waits is told. */
import { type Selectable, sql } from 'kysely';
import { type ErrorCode, WIRE } from '../../errors.js';
import { addGarbage } from '../blob-references.js';
import type { Digest } from '../blobs.js';
import { claim, fromNow, type Hold, held, recoverLost } from '../ownership.js';
import type { Db, Schema } from '../schema.js';
import { addDelivery } from '../webhooks/store.js';
import { locationOf, PREDICTIONS_CHANNEL } from './spec.js';

export type PredictionRow = Selectable<Schema['predictions']>;

/** Takes a prediction that is due; undefined when there is nothing to do. */
export async function claimPrediction(
  db: Db,
  id: string,
  owner: string,
): Promise<{ hold: Hold; row: PredictionRow } | undefined> {
  return db.transaction().execute(async (tx) => {
    const hold = await claim(tx, 'predictions', id, owner);
    if (!hold) return undefined;
    await tell(tx, id);
    const row = await tx.selectFrom('predictions').selectAll().where('id', '=', id).executeTakeFirstOrThrow();
    return { hold, row };
  });
}

export type PredictionEnd =
  | {
      readonly kind: 'answered';
      readonly status: number;
      readonly headers: Readonly<Record<string, string>>;
      readonly result: { readonly digest: Digest; readonly bytes: number };
    }
  | {
      readonly kind: 'unanswered';
      readonly state: 'failed' | 'cancelled';
      readonly code: ErrorCode;
      readonly reason: string;
    };

/**
 * Ends an attempt and its prediction. Answers the webhooks that are to be sent; undefined, and nothing is written, when the
 * attempt is no longer this worker's.
 */
export async function endPrediction(db: Db, hold: Hold, end: PredictionEnd): Promise<string[] | undefined> {
  const deliveries = await db.transaction().execute(async (tx) => {
    const rows = await tx
      .updateTable('predictions')
      .set({ ...columnsOf(end), ended_at: fromNow(0) })
      .where(held(hold))
      .returningAll()
      .execute();
    return rows.length === 0 ? undefined : announceEnd(tx, rows);
  });
  if (deliveries === undefined && end.kind === 'answered') await addGarbage(db, [end.result.digest]);
  return deliveries;
}

function columnsOf(end: PredictionEnd) {
  if (end.kind === 'unanswered') return { state: end.state, error_code: end.code, reason: end.reason };
  const { status, headers, result } = end;
  return {
    state: status < 400 ? ('succeeded' as const) : ('failed' as const),
    status,
    headers: JSON.stringify(headers),
    result_digest: result.digest,
    result_bytes: result.bytes,
    reason: `answered ${status}`,
  };
}

/**
 * Takes back what was lost with its worker: it waits again, unless it must not run twice. `deadOwner` names workers that
 * are known to be gone, by the beginning of their name. Answers the webhooks that are to be sent.
 */
export async function recoverPredictions(db: Db, deadOwner?: string): Promise<string[]> {
  return db.transaction().execute(async (tx) => {
    const mayRepeat = sql<boolean>`(request->>'idempotent')::boolean`;
    const lost = await recoverLost(tx, 'predictions', { deadOwner, mayRepeat });
    const ended = lost.filter((row) => row.state !== 'queued').map((row) => row.id);
    return announceIds(tx, ended);
  });
}

/** Fails what waits beyond its deadline: there is no worker, or no gateway, or the endpoint never answers. */
export async function failLate(db: Db): Promise<string[]> {
  return db.transaction().execute(async (tx) => {
    const late = await tx
      .updateTable('predictions')
      .set({
        state: 'failed',
        error_code: 'timeout',
        reason: sql<string>`'no answer before its deadline' || case when reason = '' then '' else '; last: ' || reason end`,
        ended_at: fromNow(0),
      })
      .where('state', '=', 'queued')
      .where('deadline_at', '<', fromNow(0))
      .returning('id')
      .execute();
    return announceIds(
      tx,
      late.map((row) => row.id),
    );
  });
}

async function announceIds(tx: Db, ids: readonly string[]): Promise<string[]> {
  if (ids.length === 0) return [];
  return announceEnd(tx, await tx.selectFrom('predictions').selectAll().where('id', 'in', ids).execute());
}

/** Tells whoever waits that these have ended; answers the webhooks to be sent once the transaction has. */
export async function announceEnd(tx: Db, rows: readonly PredictionRow[]): Promise<string[]> {
  const deliveries: string[] = [];
  for (const row of rows) {
    await tell(tx, row.id);
    if (row.webhook === null) continue;
    const { id, endpoint, state, project } = row;
    const payload = { id, endpoint, state, status: statusOf(row), location: locationOf(id) };
    deliveries.push(await addDelivery(tx, { project, subject: `prediction/${id}`, url: row.webhook, payload }));
  }
  return deliveries;
}

/** The HTTP status that a prediction that has ended is answered with. */
export function statusOf(row: Pick<PredictionRow, 'status' | 'state' | 'error_code'>): number {
  return row.status ?? WIRE[codeOf(row)].http;
}

/** Why a prediction ended without an answer. */
export function codeOf({ state, error_code }: Pick<PredictionRow, 'state' | 'error_code'>): ErrorCode {
  return error_code ?? (state === 'cancelled' ? 'cancelled' : 'upstream_failed');
}

async function tell(db: Db, id: string): Promise<void> {
  await sql`select pg_notify(${PREDICTIONS_CHANNEL}, ${id})`.execute(db);
}
