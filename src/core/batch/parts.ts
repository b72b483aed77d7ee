/** The parts that a batch's input is cut into, and the output of those that are done. */
import { sql } from 'kysely';
import { AppError } from '../../errors.js';
import { addGarbage } from '../blob-references.js';
import type { Digest } from '../blobs.js';
import { type Hold, held } from '../ownership.js';
import type { Db } from '../schema.js';
import type { Part } from '../tables/format.js';
import type { OutputColumn } from '../tables/outputs.js';
import type { BatchPlan } from './spec.js';

export interface NumberedPart extends Part {
  readonly number: number;
}

/** What a worker that lost its batch is told. */
function lost({ id }: Hold): AppError {
  return new AppError('conflict', `batch ${id} was given to another worker`);
}

const ROWS_AT_ONCE = 1000;

/** Keeps how a batch is worked on: all of it, or nothing. */
export async function planBatch(
  db: Db,
  hold: Hold,
  plan: BatchPlan & { readonly revision: number },
  parts: readonly Part[],
): Promise<void> {
  await db.transaction().execute(async (tx) => {
    const total = parts.reduce((sum, part) => sum + part.rows, 0);
    const planned = await tx
      .updateTable('batch_predictions')
      .set({ plan: JSON.stringify({ layout: plan.layout }), revision: plan.revision, rows_total: total })
      .where(held(hold))
      .executeTakeFirst();
    if (planned.numUpdatedRows === 0n) throw lost(hold);
    for (let at = 0; at < parts.length; at += ROWS_AT_ONCE) {
      const rows = parts.slice(at, at + ROWS_AT_ONCE).map((part, index) => ({
        batch_id: hold.id,
        number: at + index,
        ...part,
      }));
      await tx.insertInto('batch_parts').values(rows).execute();
    }
  });
}

/** Parts that are not done yet, from a number on, in order. */
export async function missingParts(db: Db, batchId: string, from: number, limit: number): Promise<NumberedPart[]> {
  return db
    .selectFrom('batch_parts')
    .select(['number', 'row', 'rows', 'start', 'stop', 'line'])
    .where('batch_id', '=', batchId)
    .where('number', '>=', from)
    .where('output_digest', 'is', null)
    .orderBy('number')
    .limit(limit)
    .execute();
}

/** The columns of a batch's answers: these, unless others were kept before. */
export async function keepColumns(db: Db, hold: Hold, columns: readonly OutputColumn[]): Promise<OutputColumn[]> {
  const kept = await db
    .updateTable('batch_predictions')
    .set({ outputs: sql<string>`coalesce(outputs, ${JSON.stringify(columns)}::jsonb)` })
    .where(held(hold))
    .returning('outputs')
    .executeTakeFirst();
  if (!kept?.outputs) throw lost(hold);
  return kept.outputs;
}

export interface DonePart {
  readonly part: NumberedPart;
  readonly output: { readonly digest: Digest; readonly bytes: number };
  /** Rows that failed. */
  readonly bad: number;
}

/** Notes the output of a part together with the progress that it is. A part that was noted before stays as it was. */
export async function notePart(db: Db, hold: Hold, { part, output, bad }: DonePart): Promise<void> {
  const mine = await db.transaction().execute(async (tx) => {
    const batch = await tx
      .selectFrom('batch_predictions')
      .select('id')
      .where(held(hold))
      .forUpdate()
      .executeTakeFirst();
    if (!batch) return false;
    const noted = await tx
      .updateTable('batch_parts')
      .set({ output_digest: output.digest, output_bytes: output.bytes, bad, done_at: sql<Date>`now()` })
      .where('batch_id', '=', hold.id)
      .where('number', '=', part.number)
      .where('output_digest', 'is', null)
      .executeTakeFirst();
    if (noted.numUpdatedRows === 0n) return true;
    await tx
      .updateTable('batch_predictions')
      .set((eb) => ({
        rows_done: eb('rows_done', '+', part.rows),
        rows_bad: eb('rows_bad', '+', bad),
        lost_in_a_row: 0,
      }))
      .where('id', '=', hold.id)
      .execute();
    return true;
  });
  if (mine) return;
  await addGarbage(db, [output.digest]);
  throw lost(hold);
}

/** Outputs of all parts in order, so many at once. */
export async function* outputsOf(
  db: Db,
  batchId: string,
  atOnce = 500,
): AsyncGenerator<{ rows: number; digest: Digest }> {
  for (let from = 0; ; from += atOnce) {
    const rows = await db
      .selectFrom('batch_parts')
      .select(['rows', 'output_digest'])
      .where('batch_id', '=', batchId)
      .where('number', '>=', from)
      .where('number', '<', from + atOnce)
      .orderBy('number')
      .execute();
    if (rows.length === 0) return;
    for (const { rows: count, output_digest: digest } of rows) {
      if (digest === null) throw new AppError('internal', `a part of batch ${batchId} is missing`);
      yield { rows: count, digest };
    }
  }
}

/** Batches whose parts one pass removes. */
const FORGET_AT_MOST = 20;

/** Removes the parts of batches that have ended, and their outputs. Answers of how many batches. */
export async function forgetParts(db: Db): Promise<number> {
  return db.transaction().execute(async (tx) => {
    const ended = await tx
      .selectFrom('batch_predictions as b')
      .select('b.id')
      .where('b.ended_at', 'is not', null)
      .where((eb) => eb.exists(eb.selectFrom('batch_parts as p').whereRef('p.batch_id', '=', 'b.id')))
      .limit(FORGET_AT_MOST)
      .execute();
    for (const { id } of ended) {
      const gone = await tx.deleteFrom('batch_parts').where('batch_id', '=', id).returning('output_digest').execute();
      await addGarbage(
        tx,
        gone.flatMap((part) => part.output_digest ?? []),
      );
    }
    return ended.length;
  });
}
