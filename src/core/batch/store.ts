/** Batch predictions in Postgres: what is asked for, and what became of it. */

import { isDeepStrictEqual } from 'node:util';
import { type Selectable, sql } from 'kysely';
import { AppError } from '../../errors.js';
import type { Digest } from '../blobs.js';
import { findBlob, findDataset } from '../datasets/store.js';
import { getEndpoint } from '../endpoints/store.js';
import { emit } from '../events/store.js';
import { newId } from '../id.js';
import { fromNow, LOOK_AFTER_MS } from '../ownership.js';
import type { Db, Schema } from '../schema.js';
import type { WorkState } from '../work-state.js';
import type { BatchSpec } from './spec.js';

export type BatchRow = Selectable<Schema['batch_predictions']>;

/**
 * Accepts a batch prediction: once this returns it is in Postgres and will reach its end. The same request key again is the
 * same one.
 */
export async function submitBatch(
  db: Db,
  project: string,
  spec: BatchSpec,
  requestKey?: string,
): Promise<{ id: string; created: boolean }> {
  return db.transaction().execute(async (tx) => {
    const endpointId = await checkedEndpoint(tx, project, spec);
    const input = await inputOf(tx, project, spec);
    const id = newId('ba');
    const made = await tx
      .insertInto('batch_predictions')
      .values({
        id,
        project,
        name: spec.name ?? spec.endpoint,
        endpoint_id: endpointId,
        endpoint: spec.endpoint,
        spec: JSON.stringify(spec),
        input_digest: input.digest,
        input_bytes: input.bytes,
        request_key: requestKey ?? null,
        revision: spec.revision ?? null,
        look_at: fromNow(LOOK_AFTER_MS),
        deadline_at: fromNow(spec.timeLimitSec * 1000),
      })
      .onConflict((conflict) => conflict.doNothing())
      .executeTakeFirst();
    if (made.numInsertedOrUpdatedRows === 1n) {
      await tellBatch(tx, { id, project }, 'submitted', { endpoint: spec.endpoint });
      return { id, created: true };
    }
    const before = await tx
      .selectFrom('batch_predictions')
      .select(['id', 'spec', 'input_digest'])
      .where('project', '=', project)
      .where('request_key', '=', requestKey ?? '')
      .executeTakeFirstOrThrow();
    if (before.input_digest === input.digest && isDeepStrictEqual(before.spec, JSON.parse(JSON.stringify(spec))))
      return { id: before.id, created: false };
    throw new AppError('conflict', `this idempotency key was used for another batch prediction, ${before.id}`, {
      details: { batch: before.id },
    });
  });
}

async function checkedEndpoint(db: Db, project: string, { endpoint, revision }: BatchSpec): Promise<string> {
  const { id } = await getEndpoint(db, project, endpoint);
  if (revision === undefined) return id;
  const known = await db
    .selectFrom('revisions')
    .select('number')
    .where('endpoint_id', '=', id)
    .where('number', '=', revision)
    .executeTakeFirst();
  if (known) return id;
  throw new AppError('not_found', `endpoint "${endpoint}" has no revision ${revision}`, { details: { revision } });
}

async function inputOf(db: Db, project: string, { input }: BatchSpec): Promise<{ digest: Digest; bytes: number }> {
  const { dataset, version, digest } = input;
  if (digest !== undefined) {
    const blob = await findBlob(db, project, digest);
    if (blob) return { digest, bytes: blob.bytes };
    throw new AppError('invalid', `input.digest: ${digest} was not uploaded to this project`, {
      details: { field: 'input.digest', value: digest },
    });
  }
  const found = await findDataset(db, project, dataset ?? '', version);
  if (found) return found;
  const which = version === undefined ? '' : ` of version ${version}`;
  throw new AppError('not_found', `there is no dataset "${dataset}"${which}`, { details: { dataset } });
}

export interface BatchFilter {
  readonly state?: WorkState | undefined;
  readonly limit: number;
}

export async function listBatches(db: Db, project: string, { state, limit }: BatchFilter): Promise<BatchRow[]> {
  return db
    .selectFrom('batch_predictions')
    .selectAll()
    .where('project', '=', project)
    .$if(state !== undefined, (query) => query.where('state', '=', state as WorkState))
    .orderBy('created_at', 'desc')
    .limit(limit)
    .execute();
}

export async function getBatch(db: Db, project: string, id: string): Promise<BatchRow> {
  const row = await db
    .selectFrom('batch_predictions')
    .selectAll()
    .where('project', '=', project)
    .where('id', '=', id)
    .executeTakeFirst();
  if (!row) throw new AppError('not_found', `there is no batch prediction "${id}"`, { details: { batch: id } });
  return row;
}

/** How fast rows come: those of the last minute, per second. */
const RATE_SEC = 60;

/** Rows per second of a batch prediction: over all of it once it has ended, else lately. */
export async function rateOf(db: Db, { id, rows_done, started_at, ended_at }: BatchRow): Promise<number> {
  if (!started_at) return 0;
  const sinceStartSec = ((ended_at ?? new Date()).getTime() - started_at.getTime()) / 1000;
  if (ended_at) return rows_done / Math.max(0.001, sinceStartSec);
  const { rows } = await sql<{ rows: number }>`
    select coalesce(sum(rows), 0)::bigint as rows from batch_parts
    where batch_id = ${id} and done_at > now() - ${RATE_SEC}::integer * interval '1 second'`.execute(db);
  return Number(rows[0]?.rows ?? 0) / Math.min(RATE_SEC, Math.max(1, sinceStartSec));
}

/** Asks a batch prediction to stop: one that waits ends at once, one that runs is told by its worker. */
export async function cancelBatch(db: Db, project: string, id: string, actor: string): Promise<WorkState> {
  return db.transaction().execute(async (tx) => {
    const row = await tx
      .selectFrom('batch_predictions')
      .select(['id', 'project', 'state'])
      .where('project', '=', project)
      .where('id', '=', id)
      .forUpdate()
      .executeTakeFirst();
    if (!row) throw new AppError('not_found', `there is no batch prediction "${id}"`, { details: { batch: id } });
    const now = fromNow(0);
    if (row.state === 'running')
      await tx.updateTable('batch_predictions').set({ cancel_requested_at: now }).where('id', '=', id).execute();
    if (row.state !== 'queued') return row.state;
    const reason = `cancelled by ${actor}`;
    await tx
      .updateTable('batch_predictions')
      .set({ state: 'cancelled', reason, cancel_requested_at: now, ended_at: now })
      .where('id', '=', id)
      .execute();
    await tellBatch(tx, row, 'cancelled', { reason });
    return 'cancelled';
  });
}

/** Notes in the project's events what happened to a batch prediction. */
export async function tellBatch(
  tx: Db,
  { id, project }: { readonly id: string; readonly project: string },
  what: string,
  data: Readonly<Record<string, unknown>> = {},
): Promise<void> {
  await emit(tx, { project, kind: `batch.${what}`, subject: `batch/${id}`, data: { batch: id, ...data } });
}
