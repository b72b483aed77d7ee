/** Comma-separated values (RFC 4180) with a line of names first; a byte order mark and either kind of line end are taken. */
import { AppError, messageOf } from '../../errors.js';
import type { Datatype } from '../../protocol/datatypes.js';
import { shown } from './elements.js';
import type { RandomAccess } from './format.js';
import type { Layout, TableColumn } from './layout.js';
import { NOT_UTF8, rowsOf, textStart } from './lines.js';
import { type DecodedRows, RowsBuilder } from './rows.js';

/** What stands before the rows. */
export interface CsvHead {
  readonly columns: readonly TableColumn[];
  /** Where the first row begins, in bytes, and its line. */
  readonly start: number;
  readonly line: number;
}

const HEAD_BYTES = 1024 * 1024;
/** Rows that are looked at to tell columns of numbers. */
const SAMPLE_ROWS = 100;

/** Reads the names, and from the first rows which columns hold numbers. */
export async function readCsvHead(file: RandomAccess): Promise<CsvHead> {
  const begin = await textStart(file);
  const bytes = await file.read(begin, Math.min(file.bytes, begin + HEAD_BYTES));
  const [header, ...rows] = take(rowsOf(bytes, 1, true), SAMPLE_ROWS + 1);
  if (!header) throw new AppError('invalid', 'the file has no line of column names');
  const names = fieldsOf(header.text).map((name) => name.trim());
  const twice = names.find((name, at) => names.indexOf(name) !== at);
  if (twice !== undefined) throw new AppError('invalid', `line ${header.line}: the column "${twice}" is named twice`);
  // the last row may be cut off
  const sample = (file.bytes > begin + HEAD_BYTES ? rows.slice(0, -1) : rows).flatMap(({ text }) => tryFields(text));
  return {
    columns: names.map((name, at) => ({ name, numeric: sample.every((fields) => looksNumeric(fields[at] ?? '')) })),
    ...behind(bytes, begin),
  };
}

/** Where the rows begin: behind the first line that is not blank. */
function behind(bytes: Buffer, begin: number): { start: number; line: number } {
  let at = 0;
  let line = 1;
  let seen = false;
  let inQuotes = false;
  for (; at < bytes.length && !(seen && !inQuotes && bytes[at - 1] === 0x0a); at++) {
    const byte = bytes[at] as number;
    if (byte === 0x22) inQuotes = !inQuotes;
    if (byte > 0x20) seen = true;
    if (byte === 0x0a) line++;
  }
  return { start: begin + at, line };
}

function take<T>(values: Iterable<T>, most: number): T[] {
  const taken: T[] = [];
  for (const value of values) {
    taken.push(value);
    if (taken.length === most) break;
  }
  return taken;
}

function tryFields(text: string): string[][] {
  try {
    return [fieldsOf(text)];
  } catch {
    return [];
  }
}

function looksNumeric(text: string): boolean {
  return text.trim() === '' || /^(true|false)$/i.test(text.trim()) || numberOf(text.trim()) !== undefined;
}

/** The fields of one row. */
export function fieldsOf(text: string): string[] {
  if (!text.includes('"')) return text.split(',');
  const fields: string[] = [];
  for (let at = 0; ; ) {
    if (text[at] === '"') {
      const end = closingQuote(text, at + 1);
      fields.push(text.slice(at + 1, end).replaceAll('""', '"'));
      at = end + 1;
      if (at < text.length && text[at] !== ',')
        throw new AppError(
          'invalid',
          `field ${fields.length}: ${shown(text.slice(at, at + 10))} behind a closing quote`,
        );
    } else {
      const comma = text.indexOf(',', at);
      const field = text.slice(at, comma === -1 ? text.length : comma);
      if (field.includes('"'))
        throw new AppError(
          'invalid',
          `field ${fields.length + 1}: a quote within ${shown(field)}, which is not quoted`,
        );
      fields.push(field);
      at = comma === -1 ? text.length : comma;
    }
    if (at >= text.length) return fields;
    at++;
  }
}

function closingQuote(text: string, from: number): number {
  for (let at = from; ; at += 2) {
    at = text.indexOf('"', at);
    if (at === -1) throw new AppError('invalid', 'a quote is not closed');
    if (text[at + 1] !== '"') return at;
  }
}

/** Reads the rows of a part. */
export function decodeCsv(bytes: Buffer, line: number, { inputs }: Layout, names: readonly string[]): DecodedRows {
  const builder = new RowsBuilder(inputs);
  const places = new Map(inputs.map((input) => [input, input.columns.map((column) => names.indexOf(column))]));
  for (const row of rowsOf(bytes, line, true)) {
    let fields: string[];
    try {
      if (row.broken) throw new AppError('invalid', NOT_UTF8);
      fields = fieldsOf(row.text);
      if (fields.length !== names.length)
        throw new AppError('invalid', `it has ${fields.length} fields, the first line names ${names.length}`);
    } catch (error) {
      builder.addBad(row.line, messageOf(error));
      continue;
    }
    builder.add(row.line, (input) => {
      const values = (places.get(input) ?? []).map((at) => fieldValue(fields[at] ?? '', input.datatype));
      return values.length === 1 ? values[0] : values;
    });
  }
  return builder.finish();
}

/** A field's text as a value of the datatype; text that is none is left for the tensor to refuse. */
function fieldValue(text: string, datatype: Datatype): unknown {
  if (datatype === 'BYTES') return text;
  const trimmed = text.trim();
  if (trimmed === '') return null;
  if (/^(true|false)$/i.test(trimmed)) return trimmed.toLowerCase() === 'true';
  return numberOf(trimmed) ?? text;
}

/** The number that a text stands for: whole ones beyond 2^53 as bigints; NaN and infinities by any of their usual names. */
function numberOf(text: string): number | bigint | undefined {
  if (/^[+-]?\d+$/.test(text)) {
    const value = Number(text);
    return Number.isSafeInteger(value) ? value : BigInt(text.replace('+', ''));
  }
  if (/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text)) return Number(text);
  if (/^[+-]?nan$/i.test(text)) return Number.NaN;
  const infinity = /^([+-]?)inf(inity)?$/i.exec(text);
  if (!infinity) return undefined;
  return infinity[1] === '-' ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
}
