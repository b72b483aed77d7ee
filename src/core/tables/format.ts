/** Tables in files: rows of input on their way to a model, and rows of its answers. */
export const TABLE_FORMATS = ['jsonl', 'csv', 'parquet', 'npy'] as const;

export type TableFormat = (typeof TABLE_FORMATS)[number];

/** Bytes that can be read from anywhere. */
export interface RandomAccess {
  readonly bytes: number;
  /** The bytes from `start` to before `stop`; fewer only at the end. */
  read(start: number, stop: number): Promise<Buffer>;
}

/** A range of rows of a table that can be read on its own. */
export interface Part {
  /** Number of its first row, from 0. */
  readonly row: number;
  readonly rows: number;
  /** Where it lies: bytes of the file, or rows of a Parquet file. */
  readonly start: number;
  readonly stop: number;
  /** Number of its first line, from 1; for files without lines that of its first row. */
  readonly line: number;
}

/** How large a part gets at most; it has one row at least. */
export interface PartLimits {
  readonly rows: number;
  /** Of the file. */
  readonly bytes: number;
}

/** What people call a row: the line where it begins, or its number from 1 in files without lines. */
export function placeOf(format: TableFormat, line: number): string {
  return `${format === 'jsonl' || format === 'csv' ? 'line' : 'row'} ${line}`;
}
