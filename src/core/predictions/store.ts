/** Asynchronous predictions in Postgres: what is asked for, and what became of it. */
import { sql } from 'kysely';
import { AppError } from '../../errors.js';
import { addGarbage } from '../blob-references.js';
import type { Digest } from '../blobs.js';
import { newId } from '../id.js';
import { fromNow, LOOK_AFTER_MS } from '../ownership.js';
import type { Db } from '../schema.js';
import type { WorkState } from '../work-state.js';
import { announceEnd } from './ends.js';
import type { StoredRequest } from './spec.js';

export interface NewPrediction {
  readonly project: string;
  readonly endpointId: string;
  readonly endpoint: string;
  readonly request: StoredRequest;
  readonly body: { readonly digest: Digest; readonly bytes: number };
  readonly requestKey: string | undefined;
  readonly webhook: string | undefined;
  readonly trace: string | undefined;
  /** From now until it fails if it has not ended. */
  readonly deadlineMs: number;
}

export interface Accepted {
  readonly id: string;
  readonly state: WorkState;
  readonly attempt: number;
}

/**
 * Accepts a prediction whose body is stored: once this returns it will come to its end. The same key and request again is
 * the same prediction; `conflict` for another request under a key that was used.
 */
export async function submitPrediction(db: Db, input: NewPrediction): Promise<Accepted> {
  const { accepted, same } = await db.transaction().execute(async (tx) => {
    const made = await insertPrediction(tx, input);
    if (made) return { accepted: made, same: true };
    // the body of a repeat is kept by nobody, unless it is the first one's
    await addGarbage(tx, [input.body.digest]);
    return underSameKey(tx, input);
  });
  if (same) return accepted;
  throw new AppError('conflict', `this idempotency key was used for another request, ${accepted.id}`, {
    details: { prediction: accepted.id },
  });
}

/** Undefined when there is one under this key. */
async function insertPrediction(tx: Db, input: NewPrediction): Promise<Accepted | undefined> {
  return tx
    .insertInto('predictions')
    .values({
      id: newId('pr'),
      project: input.project,
      endpoint_id: input.endpointId,
      endpoint: input.endpoint,
      request: JSON.stringify(input.request),
      body_digest: input.body.digest,
      body_bytes: input.body.bytes,
      request_key: input.requestKey ?? null,
      webhook: input.webhook ?? null,
      trace: input.trace ?? null,
      look_at: fromNow(LOOK_AFTER_MS),
      deadline_at: fromNow(input.deadlineMs),
    })
    .onConflict((conflict) => conflict.doNothing())
    .returning(['id', 'state', 'attempt'])
    .executeTakeFirst();
}

async function underSameKey(tx: Db, input: NewPrediction): Promise<{ accepted: Accepted; same: boolean }> {
  const { isSame, ...accepted } = await tx
    .selectFrom('predictions')
    .select([
      'id',
      'state',
      'attempt',
      sql<boolean>`request = ${JSON.stringify(input.request)}::jsonb and body_digest = ${input.body.digest}`.as(
        'isSame',
      ),
    ])
    .where('project', '=', input.project)
    .where('endpoint_id', '=', input.endpointId)
    .where('request_key', '=', input.requestKey ?? '')
    .executeTakeFirstOrThrow();
  return { accepted, same: isSame };
}

/** Refuses more predictions of a project that has so many waiting already. */
export async function checkBacklog(db: Db, project: string, limit: number): Promise<void> {
  const { rows } = await sql<{ waiting: number }>`
    select count(*) as waiting from (select from predictions where project = ${project} and state = 'queued'
      limit ${limit}::bigint) as first`.execute(db);
  if (Number(rows[0]?.waiting) < limit) return;
  throw new AppError('overloaded', `${limit} asynchronous predictions wait already, which is the bound`, {
    retryAfterSec: 5,
    details: { limit },
  });
}

/** A prediction of the project, with who may use its endpoint now: `key` where that is gone. */
export async function getPrediction(db: Db, project: string, id: string) {
  const row = await db
    .selectFrom('predictions as p')
    .innerJoin('endpoints as e', 'e.id', 'p.endpoint_id')
    .selectAll('p')
    .select((eb) => eb.case().when('e.deleted_at', 'is', null).then(eb.ref('e.access')).else('key').end().as('access'))
    .where('p.project', '=', project)
    .where('p.id', '=', id)
    .executeTakeFirst();
  if (!row) throw new AppError('not_found', `there is no prediction "${id}"`, { details: { prediction: id } });
  return row;
}

export interface PredictionFilter {
  readonly endpoint?: string | undefined;
  readonly state?: WorkState | undefined;
  readonly limit: number;
}

/** Predictions of a project, newest first. */
export async function listPredictions(db: Db, project: string, { endpoint, state, limit }: PredictionFilter) {
  return db
    .selectFrom('predictions')
    .selectAll()
    .where('project', '=', project)
    .$if(endpoint !== undefined, (query) => query.where('endpoint', '=', endpoint as string))
    .$if(state !== undefined, (query) => query.where('state', '=', state as WorkState))
    .orderBy('created_at', 'desc')
    .limit(limit)
    .execute();
}

/**
 * Stops a prediction: one that waits ends at once, one that runs is told by its worker, one that ended stays as it is.
 * Answers its state now, and the webhooks that are to be sent.
 */
export async function cancelPrediction(
  db: Db,
  project: string,
  id: string,
): Promise<{ state: WorkState; deliveries: string[] }> {
  return db.transaction().execute(async (tx) => {
    const row = await tx
      .selectFrom('predictions')
      .select(['id', 'state'])
      .where('project', '=', project)
      .where('id', '=', id)
      .forUpdate()
      .executeTakeFirst();
    if (!row) throw new AppError('not_found', `there is no prediction "${id}"`, { details: { prediction: id } });
    if (row.state === 'running')
      await tx
        .updateTable('predictions')
        .set({ cancel_requested_at: fromNow(0) })
        .where('id', '=', id)
        .execute();
    if (row.state !== 'queued') return { state: row.state, deliveries: [] };
    const now = fromNow(0);
    const ended = await tx
      .updateTable('predictions')
      .set({
        state: 'cancelled',
        error_code: 'cancelled',
        reason: 'cancelled',
        cancel_requested_at: now,
        ended_at: now,
      })
      .where('id', '=', id)
      .returningAll()
      .execute();
    return { state: 'cancelled', deliveries: await announceEnd(tx, ended) };
  });
}

/** Rows that one pass removes at most. */
const FORGET_AT_MOST = 500;

/** Removes predictions that ended longer ago than this, and what only they referred to. Answers how many. */
export async function forgetPredictions(db: Db, afterMs: number): Promise<number> {
  return db.transaction().execute(async (tx) => {
    const { rows } = await sql<{ body_digest: Digest; result_digest: Digest | null }>`
      delete from predictions where id in (
        select id from predictions where ended_at < ${fromNow(-afterMs)} order by ended_at limit ${FORGET_AT_MOST}
        for update skip locked)
      returning body_digest, result_digest`.execute(tx);
    await addGarbage(
      tx,
      rows.flatMap((row) => [row.body_digest, ...(row.result_digest === null ? [] : [row.result_digest])]),
    );
    return rows.length;
  });
}
