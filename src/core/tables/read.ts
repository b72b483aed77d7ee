/** Tables of any format, read part by part. */
import { AppError } from '../../errors.js';
import { decodeCsv, readCsvHead } from './csv.js';
import type { Part, PartLimits, RandomAccess, TableFormat } from './format.js';
import { decodeJsonl } from './jsonl.js';
import type { Layout, TableColumn } from './layout.js';
import { cutLines, textStart } from './lines.js';
import { cutNpy, decodeNpy, readNpyHead } from './npy.js';
import { cutParquet, ParquetRows, readParquetHead } from './parquet-read.js';
import type { DecodedRows } from './rows.js';

export interface Table {
  /** Undefined where the rows say themselves what they have. */
  readonly columns: readonly TableColumn[] | undefined;
  /** Parts of all rows, in order. */
  cut(layout: Layout, limits: PartLimits): AsyncIterable<Part> | Iterable<Part>;
  /** Makes the reader of parts. */
  rows(layout: Layout): (part: Part) => Promise<DecodedRows>;
}

/** Opens a table; `invalid` when the file is not of this format. */
export async function openTable(format: TableFormat, file: RandomAccess): Promise<Table> {
  switch (format) {
    case 'jsonl':
      return openJsonl(file);
    case 'csv':
      return openCsv(file);
    case 'npy':
      return openNpy(file);
    case 'parquet':
      return openParquet(file);
  }
}

async function openJsonl(file: RandomAccess): Promise<Table> {
  const start = await textStart(file);
  return {
    columns: undefined,
    cut: (_layout, limits) => cutLines(file, { limits, quoted: false, start, line: 1 }),
    rows: (layout) => async (part) =>
      whole(part, decodeJsonl(await file.read(part.start, part.stop), part.line, layout)),
  };
}

async function openCsv(file: RandomAccess): Promise<Table> {
  const { columns, start, line } = await readCsvHead(file);
  const names = columns.map((column) => column.name);
  return {
    columns,
    cut: (_layout, limits) => cutLines(file, { limits, quoted: true, start, line }),
    rows: (layout) => async (part) =>
      whole(part, decodeCsv(await file.read(part.start, part.stop), part.line, layout, names)),
  };
}

async function openNpy(file: RandomAccess): Promise<Table> {
  const head = await readNpyHead(file);
  return {
    columns: undefined,
    cut: (_layout, limits) => cutNpy(head, limits),
    rows: ({ inputs }) => {
      const [input, ...more] = inputs;
      if (!input || more.length > 0)
        throw new AppError('invalid', `npy holds one array, and the model takes ${inputs.length} inputs`);
      return async (part) => decodeNpy(await file.read(part.start, part.stop), part, head, input);
    },
  };
}

async function openParquet(file: RandomAccess): Promise<Table> {
  const head = await readParquetHead(file);
  return {
    columns: head.columns,
    cut: (layout, limits) => cutParquet(head, layout, limits),
    rows: (layout) => {
      const rows = new ParquetRows(file, head, layout);
      return (part) => rows.decode(part);
    },
  };
}

/** Nothing is ever predicted of a file that changed, or that is cut in another way than it is read. */
function whole(part: Part, rows: DecodedRows): DecodedRows {
  if (rows.rows === part.rows) return rows;
  throw new AppError('internal', `lines from ${part.line} on hold ${rows.rows} rows, and ${part.rows} were counted`);
}
