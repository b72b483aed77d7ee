/**
 * Works on a batch prediction: plans it once, predicts the parts that are missing, joins them. Whatever was noted by an
 * earlier worker is not done again.
 */

import type { Readable } from 'node:stream';
import { AppError } from '../../errors.js';
import type { Signature } from '../../protocol/signature.js';
import { storeBlob } from '../blob-references.js';
import type { Digest } from '../blobs.js';
import { mainTarget } from '../endpoints/endpoint.js';
import type { EndpointRoute, RevisionRoute } from '../inference/route.js';
import { RoutingTable } from '../inference/routing-table.js';
import type { Hold } from '../ownership.js';
import type { Part, PartLimits, TableFormat } from '../tables/format.js';
import { layoutOf } from '../tables/layout.js';
import { columnsOfNothing } from '../tables/outputs.js';
import { openTable, type Table } from '../tables/read.js';
import { checkTable, joinParts, type OutputTable } from '../tables/write.js';
import type { BatchDeps } from './deps.js';
import { setBatchPhase, succeedBatch } from './ends.js';
import { openInput } from './input.js';
import { PartWorker } from './part-worker.js';
import { keepColumns, missingParts, outputsOf, planBatch } from './parts.js';
import type { BatchPlan } from './spec.js';
import type { BatchRow } from './store.js';

/** Text takes several times its bytes once it is read. */
const TEXT_PARTS: PartLimits = { rows: 10_000, bytes: 4 * 2 ** 20 };
const BINARY_PARTS: PartLimits = { rows: 10_000, bytes: 16 * 2 ** 20 };
/** Parts that are in memory at once, at most. */
const PARTS_AT_ONCE = 4;
const PARTS_READ_AT_ONCE = 100;

/** Works on it to its end. Rejects with what is wrong, and with the signal's reason; then nothing that was done is lost. */
export async function runBatch(deps: BatchDeps, hold: Hold, row: BatchRow, signal: AbortSignal): Promise<void> {
  const { db, blobs } = deps;
  const { spec } = row;
  const input = await openInput(await blobs.localPath(row.input_digest));
  try {
    const table = await openTable(spec.input.format, input);
    const { plan, revision } =
      row.plan && row.revision !== null
        ? { plan: row.plan, revision: await revisionOf(deps, row, row.revision) }
        : await makePlan(deps, hold, row, table);
    const worker = new PartWorker(deps, { hold, row, revision, plan, table }, signal);
    await setBatchPhase(db, hold, 'predicting');
    await predictParts(deps, hold, worker, Math.min(PARTS_AT_ONCE, spec.concurrency));
    await setBatchPhase(db, hold, 'joining');
    await join(deps, hold, row, revision.signature, signal);
  } finally {
    await input.close();
  }
}

async function makePlan(
  deps: BatchDeps,
  hold: Hold,
  row: BatchRow,
  table: Table,
): Promise<{ plan: BatchPlan; revision: RevisionRoute }> {
  const { spec } = row;
  await setBatchPhase(deps.db, hold, 'planning');
  const revision = await revisionOf(deps, row, row.revision);
  const layout = layoutOf(revision.signature, spec.input.columns, table.columns);
  const parts: Part[] = [];
  for await (const part of table.cut(layout, limitsOf(spec.input.format))) parts.push(part);
  // refuses a table that the layout does not fit before any part of it is predicted
  table.rows(layout);
  const plan = { layout };
  await planBatch(deps.db, hold, { ...plan, revision: revision.number }, parts);
  return { plan, revision };
}

function limitsOf(format: TableFormat): PartLimits {
  return format === 'jsonl' || format === 'csv' ? TEXT_PARTS : BINARY_PARTS;
}

/** The revision of this number; without one, that with the most traffic. */
async function revisionOf({ db, clock }: BatchDeps, row: BatchRow, number: number | null): Promise<RevisionRoute> {
  const routing = new RoutingTable();
  await routing.lookAgain(db, row.project, row.endpoint, clock.now());
  const endpoint: EndpointRoute | undefined = routing.find(row.project, row.endpoint);
  if (!endpoint) throw new AppError('not_found', `there is no endpoint "${row.endpoint}" any more`);
  if (number !== null) {
    const pinned = endpoint.revisions.get(number);
    if (pinned) return pinned;
    throw new AppError('not_found', `endpoint "${row.endpoint}" has no revision ${number}`);
  }
  const main = mainTarget(endpoint.targets);
  if (main) return main.revision;
  throw new AppError('not_ready', `endpoint "${row.endpoint}" has no revision with traffic yet`);
}

/** Predicts what is missing, several parts at once. Of what is wrong with rows, the first row is told. */
async function predictParts({ db }: BatchDeps, { id }: Hold, worker: PartWorker, atOnce: number): Promise<void> {
  const running = new Set<Promise<void>>();
  let failed: { readonly number: number; readonly error: unknown } | undefined;
  for (let from = 0; !failed; ) {
    const parts = await missingParts(db, id, from, PARTS_READ_AT_ONCE);
    if (parts.length === 0) break;
    for (const part of parts) {
      while (running.size >= atOnce && !failed) await Promise.race(running);
      if (failed) break;
      const work = worker
        .run(part)
        .catch((error) => {
          if (!failed || part.number < failed.number) failed = { number: part.number, error };
          worker.stopBehind(part.number);
        })
        .finally(() => running.delete(work));
      running.add(work);
      from = part.number + 1;
    }
  }
  await Promise.all(running);
  if (failed) throw failed.error;
}

async function join(
  deps: BatchDeps,
  hold: Hold,
  row: BatchRow,
  signature: Signature,
  signal: AbortSignal,
): Promise<void> {
  const { db, blobs } = deps;
  const { format, outputs } = row.spec.output;
  const columns = await keepColumns(db, hold, columnsOfNothing(signature, outputs));
  const table: OutputTable = { format, columns, withErrors: row.spec.onError === 'null' };
  // of a table without rows nobody looked yet
  checkTable(table);
  const current = await db
    .selectFrom('batch_predictions')
    .select(['rows_total', 'rows_done'])
    .where('id', '=', hold.id)
    .executeTakeFirstOrThrow();
  const rows = current.rows_total ?? 0;
  if (current.rows_done !== rows)
    throw new AppError('internal', `${current.rows_done} of ${rows} rows are done, and no part is missing`);
  const result = await storeBlob(db, blobs, joinParts(table, rows, streams(deps, hold.id)), { signal });
  if (!(await succeedBatch(db, hold, result)))
    throw new AppError('conflict', `batch ${hold.id} was given to another worker`);
}

async function* streams({ db, blobs }: BatchDeps, id: string): AsyncGenerator<Readable> {
  for await (const { digest } of outputsOf(db, id)) yield await blobs.open(digest as Digest);
}
