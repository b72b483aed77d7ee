/** Batch predictions for people. */
import type { Batch, BatchSummary } from '../api-types.js';
import { bytes, duration, number } from '../print/text.js';
import type { Session } from '../session.js';

export function batchPath(id: string): string {
  return `/api/v1/batch-predictions/${encodeURIComponent(id)}`;
}

/** Batch predictions as a table. */
export function batchTable(session: Session, batches: readonly BatchSummary[], empty: string): void {
  session.table(
    batches,
    [
      { title: 'batch', cell: (batch) => batch.id },
      { title: 'name', cell: (batch) => batch.name },
      { title: 'endpoint', cell: (batch) => batch.endpoint },
      { title: 'state', cell: (batch) => batch.state, state: true },
      { title: 'phase', cell: (batch) => batch.phase || '-' },
      { title: 'rows', cell: rowsText, right: true },
      { title: 'submitted', cell: (batch) => session.ago(batch.createdAt) },
      { title: 'ran', cell: (batch) => ranText(batch, session.io.now()), right: true },
      { title: 'reason', cell: (batch) => batch.reason },
    ],
    empty,
  );
}

/** One with its outcome. */
export function printBatch(session: Session, batch: Batch): void {
  const { result } = batch;
  session.facts([
    ['batch', batch.id],
    ['name', batch.name],
    ['endpoint', `${batch.endpoint}${batch.revision === null ? '' : `, revision ${batch.revision}`}`],
    ['state', batch.state],
    ['phase', batch.phase],
    ['reason', batch.reason],
    ['attempt', String(batch.attempt)],
    ['rows', rowsText(batch)],
    ['rows that failed', batch.rowsBad > 0 ? String(batch.rowsBad) : undefined],
    ['rows per second', number(batch.rowsPerSecond)],
    ['submitted', session.ago(batch.createdAt)],
    ['ran', ranText(batch, session.io.now())],
    ['result', result ? `${result.rows} rows, ${bytes(result.bytes)} of ${result.format}` : undefined],
  ]);
}

/** `120 of 1000`. */
export function rowsText({ rowsDone, rowsTotal }: BatchSummary): string {
  return rowsTotal === null ? String(rowsDone) : `${rowsDone} of ${rowsTotal}`;
}

function ranText({ startedAt, endedAt }: BatchSummary, now: number): string {
  if (!startedAt) return '-';
  return duration((endedAt ? Date.parse(endedAt) : now) - Date.parse(startedAt));
}
