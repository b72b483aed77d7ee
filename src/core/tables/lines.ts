/** Text files cut into parts at the ends of rows, without reading what is in the rows. */
import { isUtf8 } from 'node:buffer';
import { AppError } from '../../errors.js';
import type { Part, PartLimits, RandomAccess } from './format.js';

const NEWLINE = 0x0a;
const QUOTE = 0x22;
const SPACE = 0x20;

const CHUNK_BYTES = 1024 * 1024;
/** A longer row is more likely a file of another kind than a row. */
const MAX_ROW_BYTES = 64 * 1024 * 1024;

export interface CutOptions {
  readonly limits: PartLimits;
  /** Whether a line break inside double quotes belongs to the row, as in CSV. */
  readonly quoted: boolean;
  /** Where the first row begins, in bytes, and the number of its line. */
  readonly start: number;
  readonly line: number;
}

/** The file's parts in order. Lines with nothing but white space are no rows. */
export async function* cutLines(file: RandomAccess, options: CutOptions): AsyncGenerator<Part> {
  const cutter = new Cutter(options);
  for (let at = options.start; at < file.bytes; ) {
    const chunk = await file.read(at, Math.min(file.bytes, at + CHUNK_BYTES));
    yield* cutter.take(chunk);
    at += chunk.length;
    if (chunk.length === 0) throw new AppError('internal', `the file ended at byte ${at} of ${file.bytes}`);
  }
  yield* cutter.end();
}

class Cutter {
  /** Bytes before the present chunk. */
  private base: number;
  private line: number;
  private inQuotes = false;
  /** Of the row that has begun. */
  private rowStart: number;
  private rowLine: number;
  private blank = true;
  /** Of the part that has begun. */
  private partStart: number;
  private partLine: number;
  private partRow = 0;
  private rows = 0;

  constructor(private readonly options: CutOptions) {
    this.base = options.start;
    this.rowStart = options.start;
    this.partStart = options.start;
    this.line = options.line;
    this.rowLine = options.line;
    this.partLine = options.line;
  }

  *take(chunk: Buffer): Generator<Part> {
    for (let at = 0; at < chunk.length; ) {
      const stop = this.lineEnd(chunk, at);
      if (this.blank) this.blank = isBlank(chunk, at, stop === -1 ? chunk.length : stop);
      if (stop === -1) break;
      at = stop + 1;
      this.line++;
      if (!this.inQuotes) yield* this.endRow(this.base + at);
    }
    this.base += chunk.length;
    if (this.base - this.rowStart > MAX_ROW_BYTES)
      throw new AppError('invalid', `line ${this.rowLine} is longer than ${MAX_ROW_BYTES} bytes; is it a text file?`);
  }

  *end(): Generator<Part> {
    if (this.inQuotes) throw new AppError('invalid', `line ${this.rowLine}: a quote is never closed`);
    yield* this.endRow(this.base);
    if (this.rows > 0) yield this.endPart(this.base);
  }

  /** The next line break from a place on, -1 for none; notes on the way whether it lies in quotes. */
  private lineEnd(chunk: Buffer, from: number): number {
    const stop = chunk.indexOf(NEWLINE, from);
    if (!this.options.quoted) return stop;
    const end = stop === -1 ? chunk.length : stop;
    for (let quote = chunk.indexOf(QUOTE, from); quote !== -1 && quote < end; quote = chunk.indexOf(QUOTE, quote + 1))
      this.inQuotes = !this.inQuotes;
    return stop;
  }

  private *endRow(stop: number): Generator<Part> {
    const { limits } = this.options;
    if (!this.blank) {
      // a part that this row would make too large ends before it
      if (this.rows > 0 && stop - this.partStart > limits.bytes) yield this.endPart(this.rowStart, this.rowLine);
      this.rows++;
      if (this.rows >= limits.rows) yield this.endPart(stop);
    }
    this.rowStart = stop;
    this.rowLine = this.line;
    this.blank = true;
  }

  private endPart(stop: number, line = this.line): Part {
    const part = { row: this.partRow, rows: this.rows, start: this.partStart, stop, line: this.partLine };
    this.partRow += this.rows;
    this.rows = 0;
    this.partStart = stop;
    this.partLine = line;
    return part;
  }
}

function isBlank(chunk: Buffer, from: number, to: number): boolean {
  for (let at = from; at < to; at++) if ((chunk[at] as number) > SPACE) return false;
  return true;
}

/** As `isBlank` has it. */
const NOT_BLANK = /[^\0-\x20]/;

/** One row of a part: its text without the line break, and the number of its line. */
export interface TextRow {
  readonly text: string;
  readonly line: number;
  /** Whether it holds bytes that are not UTF-8; its text then is not what stands there. */
  readonly broken: boolean;
}

/** What is said of such a row. */
export const NOT_UTF8 = 'it is not UTF-8';

/** The rows of a part's bytes, as `cutLines` counts them. */
export function* rowsOf(bytes: Buffer, line: number, quoted: boolean): Generator<TextRow> {
  const text = bytes.toString('utf8');
  const suspect = !isUtf8(bytes);
  let inQuotes = false;
  let start = 0;
  let startLine = line;
  let nextLine = line;
  // a line break is one byte and one character, also among bytes that are not UTF-8
  let byteStart = 0;
  let byteAt = 0;
  for (let at = 0; at < text.length; ) {
    const found = text.indexOf('\n', at);
    const stop = found === -1 ? text.length : found;
    if (quoted) {
      for (let quote = text.indexOf('"', at); quote !== -1 && quote < stop; quote = text.indexOf('"', quote + 1))
        inQuotes = !inQuotes;
    }
    at = stop + 1;
    nextLine++;
    if (suspect) byteAt = bytes.indexOf(NEWLINE, byteAt) + 1 || bytes.length + 1;
    if (inQuotes) continue;
    const row = text.slice(start, text.charCodeAt(stop - 1) === 0x0d && stop > start ? stop - 1 : stop);
    if (NOT_BLANK.test(row))
      yield { text: row, line: startLine, broken: suspect && !isUtf8(bytes.subarray(byteStart, byteAt)) };
    start = at;
    startLine = nextLine;
    byteStart = byteAt;
  }
}

/** Where a file's text begins: behind a byte order mark, if it has one. */
export async function textStart(file: RandomAccess): Promise<number> {
  const mark = await file.read(0, Math.min(3, file.bytes));
  return mark.equals(Buffer.from([0xef, 0xbb, 0xbf])) ? 3 : 0;
}
