/** Answers as Parquet: each part a file of one row group, joined without decoding them again. */
import type { FileMetaData, ParquetType, SchemaElement } from 'hyparquet';
import { parquetMetadata } from 'hyparquet';
import { ByteWriter, ParquetWriter } from 'hyparquet-writer';
import { writeMetadata } from 'hyparquet-writer/src/metadata.js';
import { AppError } from '../../errors.js';
import type { Datatype } from '../../protocol/datatypes.js';
import { elementCount } from '../../protocol/tensor.js';
import { ERROR_COLUMN, elementsOf, type OutputColumn, type Segment } from './outputs.js';

type Leaf = Pick<SchemaElement, 'type' | 'converted_type' | 'logical_type'>;

/** By its converted type alone: the writer's logical type of integers is one that other readers cannot read. */
const integer = (type: ParquetType, bits: 8 | 16 | 32 | 64, signed: 'INT' | 'UINT'): Leaf => ({
  type,
  converted_type: `${signed}_${bits}`,
});

/** How each datatype stands in a file. 16-bit floats are widened, which loses nothing. */
const LEAVES: Readonly<Record<Datatype, Leaf>> = {
  BOOL: { type: 'BOOLEAN' },
  INT8: integer('INT32', 8, 'INT'),
  INT16: integer('INT32', 16, 'INT'),
  INT32: { type: 'INT32' },
  INT64: { type: 'INT64' },
  UINT8: integer('INT32', 8, 'UINT'),
  UINT16: integer('INT32', 16, 'UINT'),
  UINT32: integer('INT32', 32, 'UINT'),
  UINT64: integer('INT64', 64, 'UINT'),
  FP16: { type: 'FLOAT' },
  BF16: { type: 'FLOAT' },
  FP32: { type: 'FLOAT' },
  FP64: { type: 'DOUBLE' },
  BYTES: { type: 'BYTE_ARRAY', converted_type: 'UTF8', logical_type: { type: 'STRING' } },
};

/** The schema of the answers' file; nullable, and with a column for what was wrong, where rows may fail. */
function schemaOf(columns: readonly OutputColumn[], withErrors: boolean): SchemaElement[] {
  const repetition_type = withErrors ? 'OPTIONAL' : 'REQUIRED';
  const elements = columns.flatMap((column): SchemaElement[] => {
    const { name, datatype } = column;
    if (column.flat) return [{ name, repetition_type, ...LEAVES[datatype] }];
    // LIST of LIST of …, as the format's "Nested Types" describes it
    const lists = column.shape.flatMap((_size, depth): SchemaElement[] => [
      {
        name: depth === 0 ? name : 'element',
        repetition_type: depth === 0 ? repetition_type : 'REQUIRED',
        converted_type: 'LIST',
        logical_type: { type: 'LIST' },
        num_children: 1,
      },
      { name: 'list', repetition_type: 'REPEATED', num_children: 1 },
    ]);
    return [...lists, { name: 'element', repetition_type: 'REQUIRED', ...LEAVES[datatype] }];
  });
  const errors: SchemaElement[] = withErrors
    ? [{ name: ERROR_COLUMN, repetition_type: 'OPTIONAL', ...LEAVES.BYTES }]
    : [];
  return [{ name: 'schema', num_children: columns.length + errors.length }, ...elements, ...errors];
}

/** A part's rows as a file of their own. */
export function encodeParquet(
  columns: readonly OutputColumn[],
  segments: readonly Segment[],
  withErrors: boolean,
): Buffer {
  const writer = new ByteWriter();
  const parquet = new ParquetWriter({
    writer,
    schema: schemaOf(columns, withErrors),
    createdBy: 'sluice',
    statistics: false,
  });
  const columnData = columns.map((column, at) => ({
    name: column.name,
    data: valuesOf(column, at, segments),
    offsetIndex: false,
  }));
  if (withErrors) columnData.push({ name: ERROR_COLUMN, data: segments.flatMap(errorsOf), offsetIndex: false });
  const rows = columnData[0]?.data.length ?? 0;
  if (rows > 0) void parquet.write({ columnData, rowGroupSize: rows });
  void parquet.finish();
  return Buffer.from(writer.getBytes());
}

function errorsOf(segment: Segment): (string | null)[] {
  return segment.kind === 'bad' ? [segment.message] : new Array<null>(segment.rows).fill(null);
}

function valuesOf(column: OutputColumn, at: number, segments: readonly Segment[]): unknown[] {
  const values: unknown[] = [];
  for (const segment of segments) {
    if (segment.kind === 'bad') {
      values.push(null);
      continue;
    }
    const tensor = segment.outputs[at];
    if (!tensor) throw new AppError('internal', `an answer has no output "${column.name}"`);
    const elements = elementsOf(tensor);
    if (column.flat) for (let row = 0; row < elements.length; row++) values.push(elements[row]);
    else for (let row = 0; row < segment.rows; row++) values.push(nested(elements, tensor.shape.slice(1), row));
  }
  return values;
}

/** One row's elements as nested arrays. */
function nested(elements: ArrayLike<unknown>, shape: readonly number[], row: number): unknown {
  const size = elementCount(shape);
  const build = (depth: number, from: number, count: number): unknown => {
    if (depth === shape.length) return elements[from];
    const length = shape[depth] as number;
    const each = length === 0 ? 0 : count / length;
    return Array.from({ length }, (_, index) => build(depth + 1, from + index * each, each));
  };
  return build(0, row * size, size);
}

const MAGIC = Buffer.from('PAR1');
/** Behind the metadata: their length, and the magic once more. */
const TAIL_BYTES = 8;

/**
 * Joins files of one schema into one: the bytes of their row groups stay as they are, and only where they lie is written
 * anew. Holds one part at a time.
 */
export async function* joinParquet(parts: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  yield MAGIC;
  let offset = MAGIC.length;
  let joined: FileMetaData | undefined;
  for await (const part of parts) {
    const { buffer, byteOffset, byteLength } = part;
    const metadata = parquetMetadata(buffer.slice(byteOffset, byteOffset + byteLength) as ArrayBuffer);
    const data = part.subarray(MAGIC.length, part.length - TAIL_BYTES - metadata.metadata_length);
    const groups = metadata.row_groups.map((group) => shifted(group, BigInt(offset - MAGIC.length)));
    joined = joined
      ? { ...joined, num_rows: joined.num_rows + metadata.num_rows, row_groups: [...joined.row_groups, ...groups] }
      : { ...metadata, row_groups: groups };
    offset += data.length;
    yield data;
  }
  if (!joined) throw new AppError('internal', 'there is nothing to join');
  const writer = new ByteWriter();
  writeMetadata(writer, joined);
  yield Buffer.concat([writer.getBytes(), MAGIC]);
}

type Group = FileMetaData['row_groups'][number];

function shifted(group: Group, by: bigint): Group {
  return {
    ...group,
    columns: group.columns.map((column) => {
      const { meta_data } = column;
      if (!meta_data) return column;
      const { dictionary_page_offset } = meta_data;
      return {
        ...column,
        file_offset: column.file_offset + by,
        meta_data: {
          ...meta_data,
          data_page_offset: meta_data.data_page_offset + by,
          ...(dictionary_page_offset === undefined ? {} : { dictionary_page_offset: dictionary_page_offset + by }),
        },
      };
    }),
  };
}
