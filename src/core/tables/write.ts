/** Answers in any format, written part by part and joined in order. */
import type { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { AppError } from '../../errors.js';
import type { TableFormat } from './format.js';
import { npyElements, npyHeader } from './npy.js';
import { ERROR_COLUMN, type OutputColumn, type Segment } from './outputs.js';
import { encodeParquet, joinParquet } from './parquet-write.js';
import { csvHeader, encodeCsv, encodeJsonl } from './text-out.js';

/** What a table of answers is. */
export interface OutputTable {
  readonly format: TableFormat;
  readonly columns: readonly OutputColumn[];
  /** Whether rows may have failed: their values are null, and a column says what was wrong. */
  readonly withErrors: boolean;
}

/** Refuses columns that the format has no place for. */
export function checkTable({ format, columns, withErrors }: OutputTable): void {
  if (withErrors && columns.some((column) => column.name === ERROR_COLUMN))
    throw new AppError(
      'invalid',
      `the model has an output "${ERROR_COLUMN}", which is where a row's fault would stand: onError must be "fail"`,
    );
  if (format !== 'npy') return;
  const [column, ...more] = columns;
  if (!column || more.length > 0)
    throw new AppError(
      'invalid',
      `npy holds one array, and the model gives ${columns.length}: ${columns.map(({ name }) => name).join(', ')}; ` +
        'name one in output.outputs',
    );
  // refuses datatypes that the format does not know
  npyHeader(column, 0);
}

/** Whether all rows of a column must have the same shape. */
export function mustKeepShape(format: TableFormat): (column: OutputColumn) => boolean {
  if (format === 'csv' || format === 'npy') return () => true;
  return format === 'parquet' ? (column) => column.flat : () => false;
}

/** A part's rows. */
export function encodePart({ format, columns, withErrors }: OutputTable, segments: readonly Segment[]): Buffer {
  switch (format) {
    case 'jsonl':
      return encodeJsonl(columns, segments);
    case 'csv':
      return encodeCsv(columns, segments, withErrors);
    case 'parquet':
      return encodeParquet(columns, segments, withErrors);
    case 'npy':
      return Buffer.concat(segments.flatMap(npySegment));
  }
}

function npySegment(segment: Segment): Buffer[] {
  const output = segment.kind === 'answered' ? segment.outputs[0] : undefined;
  if (!output) throw new AppError('internal', 'npy has no place for rows that failed');
  return [npyElements(output)];
}

/** The whole file of so many rows, from its parts in order. */
export async function* joinParts(
  table: OutputTable,
  rows: number,
  parts: AsyncIterable<Readable>,
): AsyncGenerator<Uint8Array> {
  const { format, columns, withErrors } = table;
  if (format === 'parquet') {
    yield* joinParquet(rows === 0 ? only(encodePart(table, [])) : buffers(parts));
    return;
  }
  if (format === 'csv') yield csvHeader(columns, withErrors);
  const [column] = columns;
  if (format === 'npy' && column) yield npyHeader(column, rows);
  for await (const part of parts) yield* part;
}

async function* buffers(parts: AsyncIterable<Readable>): AsyncGenerator<Buffer> {
  for await (const part of parts) yield await buffer(part);
}

async function* only(part: Buffer): AsyncGenerator<Buffer> {
  yield part;
}
