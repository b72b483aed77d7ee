/** Parquet files: read a row group at a time, whatever the file's size. */
import {
  type AsyncBuffer,
  type DecodedArray,
  type FileMetaData,
  type ParquetScan,
  parquetMetadataAsync,
  parquetScan,
  parquetSchema,
  type SchemaTree,
} from 'hyparquet';
import { compressors } from 'hyparquet-compressors';
import { AppError, messageOf } from '../../errors.js';
import type { Part, PartLimits, RandomAccess } from './format.js';
import type { Layout, TableColumn } from './layout.js';
import { type DecodedRows, RowsBuilder } from './rows.js';

/** An opened file. */
export interface ParquetHead {
  readonly metadata: FileMetaData;
  readonly columns: readonly TableColumn[];
}

export async function readParquetHead(file: RandomAccess): Promise<ParquetHead> {
  const metadata = await understood(() => parquetMetadataAsync(bufferOf(file), { parsers: AS_NUMBERS }));
  const columns = parquetSchema(metadata).children.map((column) => ({
    name: column.element.name,
    numeric: isNumeric(column),
  }));
  return { metadata, columns };
}

const NUMERIC = new Set(['BOOLEAN', 'INT32', 'INT64', 'FLOAT', 'DOUBLE']);
const TIMES = new Set(['DATE', 'TIME', 'TIMESTAMP', 'INTERVAL']);

function isNumeric({ children, element }: SchemaTree): boolean {
  if (children.length > 0 || element.repetition_type === 'REPEATED') return false;
  const logical = element.logical_type?.type ?? element.converted_type?.split('_')[0] ?? '';
  if (TIMES.has(logical)) return false;
  return NUMERIC.has(element.type ?? '') || logical === 'FLOAT16' || logical === 'DECIMAL';
}

/** The file's parts in order; none reaches over the end of a row group. */
export function* cutParquet(
  { metadata }: ParquetHead,
  { inputs }: Pick<Layout, 'inputs'>,
  limits: PartLimits,
): Generator<Part> {
  const wanted = new Set(inputs.flatMap((input) => input.columns));
  let row = 0;
  for (const group of metadata.row_groups) {
    const rows = Number(group.num_rows);
    const bytes = group.columns
      .filter(({ meta_data }) => wanted.has(meta_data?.path_in_schema[0] ?? ''))
      .reduce((sum, { meta_data }) => sum + Number(meta_data?.total_uncompressed_size ?? 0), 0);
    const each = Math.max(1, Math.min(limits.rows, Math.floor((limits.bytes * rows) / Math.max(1, bytes))));
    for (let from = 0; from < rows; from += each) {
      const start = row + from;
      const count = Math.min(each, rows - from);
      yield { row: start, rows: count, start, stop: start + count, line: start + 1 };
    }
    row += rows;
  }
}

/** Reads parts of one file; holds the columns of one row group, so that parts in order read each group once. */
export class ParquetRows {
  private scan: Promise<ParquetScan> | undefined;
  private group: { readonly start: number; readonly columns: Promise<ReadonlyMap<string, DecodedArray>> } | undefined;

  constructor(
    private readonly file: RandomAccess,
    private readonly head: ParquetHead,
    private readonly layout: Layout,
  ) {}

  async decode(part: Part): Promise<DecodedRows> {
    const { inputs } = this.layout;
    const { start, columns } = await this.columnsOf(part);
    const builder = new RowsBuilder(inputs);
    for (let row = 0; row < part.rows; row++) {
      const at = part.start - start + row;
      builder.add(part.line + row, (input) => {
        const values = input.columns.map((name) => plain(columns.get(name)?.[at]));
        return values.length === 1 ? values[0] : values;
      });
    }
    return builder.finish();
  }

  private async columnsOf(part: Part): Promise<{ start: number; columns: ReadonlyMap<string, DecodedArray> }> {
    const { start, stop } = groupAt(this.head.metadata, part.start);
    if (this.group?.start !== start) this.group = { start, columns: this.readGroup(start, stop) };
    const { columns } = this.group;
    return { start, columns: await columns };
  }

  private async readGroup(rowStart: number, rowEnd: number): Promise<ReadonlyMap<string, DecodedArray>> {
    const { metadata } = this.head;
    const names = [...new Set(this.layout.inputs.flatMap((input) => input.columns))];
    const file = bufferOf(this.file);
    this.scan ??= understood(() =>
      parquetScan({ file, metadata, columns: names, compressors, utf8: false, parsers: AS_NUMBERS }),
    );
    const scan = await this.scan;
    const columns = new Map<string, DecodedArray>();
    for (const column of names)
      columns.set(column, await understood(() => scan.readColumn({ column, rowStart, rowEnd })));
    return columns;
  }
}

/** The row group that holds a row, as a range of rows. */
function groupAt({ row_groups }: FileMetaData, row: number): { start: number; stop: number } {
  let start = 0;
  for (const group of row_groups) {
    const stop = start + Number(group.num_rows);
    if (row < stop) return { start, stop };
    start = stop;
  }
  throw new AppError('internal', `the Parquet file has ${start} rows, not ${row + 1}`);
}

/** A list's values as a plain array; what is null where a list should be is left for the tensor to refuse. */
function plain(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(plain);
  if (ArrayBuffer.isView(value) && !(value instanceof Uint8Array)) return Array.from(value as Float64Array);
  return value;
}

/** Times as the whole numbers that the file holds: models take numbers. */
const AS_NUMBERS = {
  timestampFromMilliseconds: (value: bigint) => value,
  timestampFromMicroseconds: (value: bigint) => value,
  timestampFromNanoseconds: (value: bigint) => value,
  dateFromDays: (value: number) => value,
};

function bufferOf(file: RandomAccess): AsyncBuffer {
  return {
    byteLength: file.bytes,
    async slice(start, end = file.bytes) {
      const from = start < 0 ? file.bytes + start : start;
      const { buffer, byteOffset, byteLength } = await file.read(from, end);
      // only a buffer of its own can be handed over as it is
      if (byteOffset === 0 && byteLength === buffer.byteLength) return buffer as ArrayBuffer;
      return buffer.slice(byteOffset, byteOffset + byteLength) as ArrayBuffer;
    },
  };
}

/** What the library cannot read is the file's fault. */
async function understood<T>(read: () => T | Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    if (error instanceof AppError) throw error;
    throw new AppError('invalid', `the Parquet file cannot be read: ${messageOf(error)}`, { cause: error });
  }
}
