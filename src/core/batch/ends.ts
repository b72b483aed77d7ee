/** How batch predictions begin and end. */
import { sql } from 'kysely';
import type { Digest } from '../blobs.js';
import { recordBlob } from '../datasets/store.js';
import { claim, fromNow, type Hold, held, recoverLost } from '../ownership.js';
import type { Db } from '../schema.js';
import { type BatchRow, tellBatch } from './store.js';

/** Takes a batch prediction that is due; undefined when there is nothing to do. */
export async function claimBatch(
  db: Db,
  id: string,
  owner: string,
): Promise<{ hold: Hold; row: BatchRow } | undefined> {
  return db.transaction().execute(async (tx) => {
    const hold = await claim(tx, 'batch_predictions', id, owner);
    if (!hold) return undefined;
    const row = await tx.selectFrom('batch_predictions').selectAll().where('id', '=', id).executeTakeFirstOrThrow();
    await tellBatch(tx, row, 'started', { attempt: hold.attempt });
    return { hold, row };
  });
}

/** Says what a batch that is worked on does now; of others it means nothing. */
export async function setBatchPhase(db: Db, hold: Hold, phase: string): Promise<void> {
  await db.updateTable('batch_predictions').set({ phase }).where(held(hold)).execute();
}

/** Ends a batch with its result, which the project owns from now on. False when it is no longer this worker's. */
export async function succeedBatch(
  db: Db,
  hold: Hold,
  result: { readonly digest: Digest; readonly bytes: number },
): Promise<boolean> {
  return db.transaction().execute(async (tx) => {
    const row = await tx
      .updateTable('batch_predictions')
      .set({
        state: 'succeeded',
        reason: '',
        result_digest: result.digest,
        result_bytes: result.bytes,
        ended_at: fromNow(0),
      })
      .where(held(hold))
      .returningAll()
      .executeTakeFirst();
    if (!row) return false;
    await recordBlob(tx, row.project, result.digest, result.bytes);
    await tellBatch(tx, row, 'succeeded', { rows: row.rows_done, bad: row.rows_bad });
    return true;
  });
}

/** Ends a batch without a result. Nothing happens when it is no longer this worker's. */
export async function failBatch(
  db: Db,
  hold: Hold,
  { state, reason }: { readonly state: 'failed' | 'cancelled'; readonly reason: string },
): Promise<void> {
  await db.transaction().execute(async (tx) => {
    const row = await tx
      .updateTable('batch_predictions')
      .set({ state, reason, ended_at: fromNow(0) })
      .where(held(hold))
      .returning(['id', 'project'])
      .executeTakeFirst();
    if (row) await tellBatch(tx, row, state, { reason });
  });
}

/** Takes back what was lost with its worker; `deadOwner`: those known to be gone, by the beginning of their name. */
export async function recoverBatches(db: Db, deadOwner?: string): Promise<void> {
  await db.transaction().execute(async (tx) => {
    for (const lost of await recoverLost(tx, 'batch_predictions', { deadOwner })) {
      const { state, attempt, reason } = lost;
      await tellBatch(tx, lost, state === 'queued' ? 'recovered' : state, { attempt, reason });
    }
  });
}

/** Fails what waits beyond its time limit. */
export async function failLateBatches(db: Db): Promise<void> {
  await db.transaction().execute(async (tx) => {
    const late = await tx
      .updateTable('batch_predictions')
      .set({
        state: 'failed',
        reason: sql<string>`'not done within its time limit' || case when reason = '' then '' else '; last: ' || reason end`,
        ended_at: fromNow(0),
      })
      .where('state', '=', 'queued')
      .where('deadline_at', '<', fromNow(0))
      .returning(['id', 'project', 'reason'])
      .execute();
    for (const row of late) await tellBatch(tx, row, 'failed', { reason: row.reason });
  });
}
