/** A model's answers as columns of a table. */
import { isUtf8 } from 'node:buffer';
import { AppError } from '../../errors.js';
import type { Datatype } from '../../protocol/datatypes.js';
import { fromBfloat, fromHalf } from '../../protocol/float16.js';
import type { Signature } from '../../protocol/signature.js';
import { elementCount, type Tensor } from '../../protocol/tensor.js';

/** One output of a model as a column. */
export interface OutputColumn {
  readonly name: string;
  readonly datatype: Datatype;
  /** Of one row: without the first dimension. */
  readonly shape: readonly number[];
  /** Whether it has one element a row, always: a plain value rather than a list. */
  readonly flat: boolean;
}

/** Consecutive rows of a part and what became of them. */
export type Segment =
  | { readonly kind: 'answered'; readonly rows: number; readonly outputs: readonly Tensor[] }
  | { readonly kind: 'bad'; readonly message: string };

/** Name of the column that says what was wrong with a row. */
export const ERROR_COLUMN = 'error';

/** The columns that answers make. What the model says of its outputs tells whether a list of one may become longer. */
export function columnsOf(outputs: readonly Tensor[], signature: Signature): OutputColumn[] {
  return outputs.map(({ name, datatype, shape: [, ...shape] }) => {
    const said = signature.outputs.find((output) => output.name === name)?.shape.slice(1);
    const fixed = said === undefined || said.length !== shape.length || !said.includes(-1);
    return { name, datatype, shape, flat: elementCount(shape) === 1 && fixed };
  });
}

/** The columns of a table without answers, as far as the model says what it gives. */
export function columnsOfNothing(signature: Signature, wanted: readonly string[] | undefined): OutputColumn[] {
  return signature.outputs
    .filter(({ name }) => wanted === undefined || wanted.includes(name))
    .map(({ name, datatype, shape: [, ...inner] }) => {
      const shape = inner.map((size) => Math.max(0, size));
      return { name, datatype, shape, flat: elementCount(shape) === 1 };
    });
}

/** Refuses answers that make other columns than the first ones did. `fixed`: whether a column's rows must keep their shape. */
export function checkColumns(
  columns: readonly OutputColumn[],
  outputs: readonly Tensor[],
  fixed: (column: OutputColumn) => boolean,
): void {
  const other = columns.findIndex((column, at) => {
    const {
      name,
      datatype,
      shape: [, ...shape],
    } = outputs[at] ?? { name: '', datatype: 'BOOL', shape: [] };
    if (column.name !== name || column.datatype !== datatype) return true;
    return fixed(column) ? String(column.shape) !== String(shape) : column.shape.length !== shape.length;
  });
  if (other === -1 && outputs.length === columns.length) return;
  const is = outputs[other];
  const was = words(columns[other]);
  const became = words(is && { ...is, shape: is.shape.slice(1) });
  throw new AppError('invalid', `the model's answers differ: output ${was} became ${became}`);
}

function words(column: Pick<OutputColumn, 'name' | 'datatype' | 'shape'> | undefined): string {
  return column ? `"${column.name}" ${column.datatype}[${column.shape.join(', ')}]` : 'none';
}

/** A tensor's elements as plain values: numbers, bigints, booleans, text. Bytes that are not UTF-8 are refused. */
export function elementsOf(tensor: Tensor): ArrayLike<number | bigint | boolean | string> {
  switch (tensor.datatype) {
    case 'BOOL':
      return Array.from(tensor.data, (value) => value !== 0);
    case 'FP16':
      return Float64Array.from(tensor.data, fromHalf);
    case 'BF16':
      return Float64Array.from(tensor.data, fromBfloat);
    case 'BYTES':
      return tensor.data.map((element) => textOf(tensor.name, element));
    default:
      return tensor.data;
  }
}

export function textOf(name: string, element: Buffer): string {
  if (isUtf8(element)) return element.toString('utf8');
  throw new AppError('invalid', `output "${name}" holds bytes that are not UTF-8, for which tables have no place`);
}
