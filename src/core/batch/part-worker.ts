/** Takes parts of a batch from their bytes to their noted output. */
import { Readable } from 'node:stream';
import { joinSignals } from '../../abort.js';
import { AppError } from '../../errors.js';
import { storeBlob } from '../blob-references.js';
import type { RevisionRoute } from '../inference/route.js';
import type { Hold } from '../ownership.js';
import { placeOf } from '../tables/format.js';
import { checkColumns, columnsOf, columnsOfNothing, type OutputColumn, type Segment } from '../tables/outputs.js';
import type { Table } from '../tables/read.js';
import type { DecodedRows } from '../tables/rows.js';
import { checkTable, encodePart, mustKeepShape } from '../tables/write.js';
import type { BatchDeps } from './deps.js';
import { setBatchPhase } from './ends.js';
import { keepColumns, type NumberedPart, notePart } from './parts.js';
import { type PredictorOptions, predictRun } from './predict-rows.js';
import { RequestSize } from './request-size.js';
import { Slots } from './slots.js';
import type { BatchPlan } from './spec.js';
import type { BatchRow } from './store.js';

export interface PartWork {
  readonly hold: Hold;
  readonly row: BatchRow;
  readonly revision: RevisionRoute;
  readonly plan: BatchPlan;
  readonly table: Table;
}

export class PartWorker {
  private readonly predictor: PredictorOptions;
  private readonly read: ReturnType<Table['rows']>;
  private readonly withErrors: boolean;
  private readonly stops = new Map<number, AbortController>();
  private columns: Promise<readonly OutputColumn[]> | undefined;
  private waiting = false;

  constructor(
    private readonly deps: BatchDeps,
    private readonly work: PartWork,
    private readonly signal: AbortSignal,
  ) {
    const { row, revision, plan, table } = work;
    const { spec, outputs } = row;
    this.withErrors = spec.onError === 'null';
    this.read = table.rows(plan.layout);
    if (outputs) this.columns = Promise.resolve(outputs);
    this.predictor = {
      ask: deps.ask,
      project: row.project,
      path: `/v2/models/${encodeURIComponent(row.endpoint)}/versions/${revision.number}/infer`,
      outputs: spec.output.outputs,
      batch: plan.layout.batch,
      stopAtBad: !this.withErrors,
      size: new RequestSize({ fixed: spec.rowsPerRequest, maxBytes: deps.maxRequestBytes }),
      slots: new Slots(spec.concurrency),
      onWait: (reason) => this.tellWait(reason),
    };
  }

  /** Does a part; what it yields is noted when this resolves. */
  async run(part: NumberedPart): Promise<void> {
    const stop = new AbortController();
    this.stops.set(part.number, stop);
    const { signal, release } = joinSignals([this.signal, stop.signal]);
    try {
      const rows = await this.read(part);
      this.refuse(rows, rows.bad);
      const segments = await this.predict(rows, signal);
      const table = {
        format: this.work.row.spec.output.format,
        columns: await this.columnsFor(segments),
        withErrors: this.withErrors,
      };
      const bad = segments.filter((segment) => segment.kind === 'bad').length;
      const { db, blobs } = this.deps;
      const output = await storeBlob(db, blobs, Readable.from([encodePart(table, segments)]), { signal });
      await notePart(db, this.work.hold, { part, output, bad });
    } finally {
      this.stops.delete(part.number);
      // requests of a part that failed are not worth their answers
      stop.abort(new AppError('cancelled', 'the part has ended'));
      release();
    }
  }

  /** Gives up the parts behind one that failed; those before it may still fail of an earlier row. */
  stopBehind(number: number): void {
    for (const [other, stop] of this.stops)
      if (other > number) stop.abort(new AppError('cancelled', 'an earlier part failed'));
  }

  /** Every row's segment, in the order of the rows. */
  private async predict(rows: DecodedRows, signal: AbortSignal): Promise<Segment[]> {
    const runs = rows.runs.map(async (run) => ({
      row: run.first,
      segments: this.checked(rows, run.first, await predictRun(this.predictor, run, signal)),
    }));
    const bad = rows.bad.map(({ row, message }) => ({ row, segments: [{ kind: 'bad', message } as const] }));
    // all of them end before any is looked at: none is left behind when one fails
    const settled = await Promise.allSettled(runs);
    const answered = settled.map((run) => {
      if (run.status === 'rejected') throw run.reason;
      return run.value;
    });
    return [...answered, ...bad].sort((a, b) => a.row - b.row).flatMap(({ segments }) => segments);
  }

  private checked(rows: DecodedRows, first: number, segments: Segment[]): Segment[] {
    let row = first;
    for (const segment of segments) {
      if (segment.kind === 'bad') this.refuse(rows, [{ row, message: segment.message }]);
      row += segment.kind === 'bad' ? 1 : segment.rows;
    }
    return segments;
  }

  /** Fails at the first of these rows, unless rows may fail. */
  private refuse(rows: DecodedRows, [first]: readonly { readonly row: number; readonly message: string }[]): void {
    if (!first || this.withErrors) return;
    const place = placeOf(this.work.row.spec.input.format, rows.lineOf(first.row));
    throw new AppError('invalid', `${place}: ${first.message}`, { details: { place } });
  }

  /** The columns that all answers have, as the first ones made them. */
  private async columnsFor(segments: readonly Segment[]): Promise<readonly OutputColumn[]> {
    const { row, revision, hold } = this.work;
    const { format, outputs: wanted } = row.spec.output;
    const answered = segments.flatMap((segment) => (segment.kind === 'answered' ? [segment.outputs] : []));
    const found = answered[0]
      ? columnsOf(answered[0], revision.signature)
      : columnsOfNothing(revision.signature, wanted);
    this.columns ??= (async () => {
      checkTable({ format, columns: found, withErrors: this.withErrors });
      return keepColumns(this.deps.db, hold, found);
    })();
    const columns = await this.columns;
    for (const outputs of answered) checkColumns(columns, outputs, mustKeepShape(format));
    return columns;
  }

  private tellWait(reason: string | undefined): void {
    // many requests wait for the same thing; it is told when it begins and when it ends
    if (this.waiting === (reason !== undefined)) return;
    this.waiting = reason !== undefined;
    const phase = reason === undefined ? 'predicting' : `waiting: ${reason}`;
    void setBatchPhase(this.deps.db, this.work.hold, phase).catch(() => {});
  }
}
