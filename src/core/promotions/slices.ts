/** Slices: the rows of held-out data that belong together, such as one region's or the large amounts. */
import { AppError } from '../../errors.js';
import type { EvaluationSet } from './evaluation-set.js';
import type { Slice } from './gate.js';
import type { Label } from './score.js';

/** The rows of a slice; `invalid` where the data have no such column or no such rows. */
export function rowsOfSlice(set: EvaluationSet, slice: Slice): number[] {
  const value = reader(set, slice);
  const rows: number[] = [];
  for (let row = 0; row < set.rows; row++) if (belongs(value(row), slice.where)) rows.push(row);
  if (rows.length === 0) throw new AppError('invalid', `slice "${slice.name}" has no rows among ${set.rows}`);
  return rows;
}

function reader(set: EvaluationSet, { name, column, input, at = 0 }: Slice): (row: number) => unknown {
  if (column !== undefined) {
    const values = set.columns[column];
    if (!values) {
      const known = Object.keys(set.columns).join(', ') || 'none';
      throw new AppError('invalid', `slice "${name}": the dataset has no column "${column}"; it has ${known}`);
    }
    return (row) => values[row];
  }
  const tensor = set.inputs.find((one) => one.name === input);
  if (!tensor) {
    const known = set.inputs.map((one) => one.name).join(', ');
    throw new AppError('invalid', `slice "${name}": the dataset has no input "${input}"; it has ${known}`);
  }
  const perRow = tensor.data.length / set.rows;
  if (at >= perRow)
    throw new AppError('invalid', `slice "${name}": input "${input}" has ${perRow} values in a row, none at ${at}`);
  return (row) => tensor.data[row * perRow + at];
}

function belongs(value: unknown, { equals, min, max }: Slice['where']): boolean {
  if (equals !== undefined) return String(value as Label) === String(equals);
  return typeof value === 'number' && (min === undefined || value >= min) && (max === undefined || value <= max);
}
