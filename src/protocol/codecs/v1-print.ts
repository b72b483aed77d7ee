import { isUtf8 } from 'node:buffer';
import { AppError } from '../../errors.js';
import type { InferResponse } from '../infer.js';
import { ByteWriter } from '../json/byte-writer.js';
import { printElements } from '../json/print-elements.js';
import type { Tensor } from '../tensor.js';
import type { V1Request } from './v1-read.js';

/** What the members of an answer are called. */
export interface V1Names {
  /** Of the row form. */
  readonly rows: string;
  /** Of the column form. */
  readonly columns: string;
  /** What comes before, such as `"predictions":[],`. */
  readonly before: string;
}

/** Printing ends before anybody else prints, so one writer's memory serves all. */
const writer = new ByteWriter();

/**
 * Prints an answer in the form of its request; a single output goes without its name. NaN and infinities, which JSON does
 * not have, become null, and `non_finite_as_null` says how many did.
 */
export function printV1Response({ form }: V1Request, { outputs }: InferResponse, names: V1Names): Buffer {
  writer.reset();
  writer.text(`{${names.before}"${form === 'row' ? names.rows : names.columns}":`);
  const nonFinite = form === 'row' ? printRows(outputs) : printColumns(outputs);
  writer.text(nonFinite > 0 ? `,"non_finite_as_null":${nonFinite}}` : '}');
  return writer.finish();
}

function printColumns(outputs: readonly Tensor[]): number {
  const [only, ...others] = outputs;
  if (only && others.length === 0) return printNested(only);
  let nonFinite = 0;
  for (const [i, tensor] of outputs.entries()) {
    writer.text(`${i === 0 ? '{' : ','}${JSON.stringify(tensor.name)}:`);
    nonFinite += printNested(tensor);
  }
  writer.text(outputs.length === 0 ? '{}' : '}');
  return nonFinite;
}

function printRows(outputs: readonly Tensor[]): number {
  const [first, ...others] = outputs;
  const rows = first?.shape[0] ?? 0;
  for (const { name, shape } of outputs) {
    if (shape.length > 0 && shape[0] === rows) continue;
    const shapes = `output "${name}" has shape [${shape.join(',')}]`;
    throw new AppError('invalid', `${shapes}, which is not one value a row: send "inputs", the column form`);
  }
  if (first && others.length === 0) return printNested(first);
  let nonFinite = 0;
  writer.ascii('[');
  for (let row = 0; row < rows; row++) {
    writer.ascii(row === 0 ? '{' : ',{');
    for (const [i, tensor] of outputs.entries()) {
      writer.text(`${i === 0 ? '' : ','}${JSON.stringify(tensor.name)}:`);
      nonFinite += printNested(rowOf(tensor, row));
    }
    writer.ascii('}');
  }
  writer.ascii(']');
  return nonFinite;
}

/** Prints a tensor nested as its shape says; how many elements were not finite. */
function printNested(tensor: Tensor): number {
  const [rows, ...inner] = tensor.shape;
  if (rows === undefined) return printFlat(tensor);
  writer.ascii('[');
  let nonFinite = 0;
  if (inner.length === 0) nonFinite = printFlat(tensor);
  else {
    for (let row = 0; row < rows; row++) {
      if (row > 0) writer.ascii(',');
      nonFinite += printNested(rowOf(tensor, row));
    }
  }
  writer.ascii(']');
  return nonFinite;
}

/** One entry along the first axis, as a view. */
function rowOf({ name, datatype, shape, data }: Tensor, row: number): Tensor {
  const inner = shape.slice(1);
  const size = data.length / (shape[0] as number);
  const [from, to] = [row * size, (row + 1) * size];
  const part = 'subarray' in data ? data.subarray(from, to) : data.slice(from, to);
  return { name, datatype, shape: inner, data: part } as Tensor;
}

function printFlat(tensor: Tensor): number {
  if (tensor.datatype !== 'BYTES') return printElements(writer, tensor);
  for (const [i, element] of tensor.data.entries()) {
    if (i > 0) writer.ascii(',');
    if (isUtf8(element)) writer.text(JSON.stringify(element.toString('utf8')));
    else writer.ascii(`{"b64":"${element.toString('base64')}"}`);
  }
  return 0;
}
