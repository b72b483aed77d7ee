/** JSON Lines: a row is an object of values by input, or, for a model of one input, the bare value. */
import { AppError, messageOf } from '../../errors.js';
import { parseExactJson } from './exact-json.js';
import type { InputColumn, Layout } from './layout.js';
import { NOT_UTF8, rowsOf } from './lines.js';
import { type DecodedRows, RowsBuilder } from './rows.js';

/** Reads the rows of a part. */
export function decodeJsonl(bytes: Buffer, line: number, { inputs }: Layout): DecodedRows {
  const builder = new RowsBuilder(inputs);
  const single = inputs.length === 1;
  for (const row of rowsOf(bytes, line, false)) {
    let value: unknown;
    try {
      if (row.broken) throw new AppError('invalid', NOT_UTF8);
      value = parseExactJson(row.text);
    } catch (error) {
      builder.addBad(row.line, messageOf(error).replace(/^the body is/, 'it is'));
      continue;
    }
    builder.add(row.line, (input) => (isObject(value) ? fieldsOf(value, input) : bare(value, single)));
  }
  return builder.finish();
}

function fieldsOf(row: Readonly<Record<string, unknown>>, { columns }: InputColumn): unknown {
  const values = columns.map((column) => {
    if (!Object.hasOwn(row, column)) throw new AppError('invalid', `there is no "${column}"`);
    return row[column];
  });
  return columns.length === 1 ? values[0] : values;
}

function bare(value: unknown, single: boolean): unknown {
  if (single) return value;
  throw new AppError('invalid', 'an object with a value for each input was expected');
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
