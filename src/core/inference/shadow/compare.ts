/** Whether two answers to one request agree: outputs by name, their shapes, datatypes and elements. Pure. */
import type { Datatype } from '../../../protocol/datatypes.js';
import { fromBfloat, fromHalf } from '../../../protocol/float16.js';
import type { Tensor, TensorDataOf } from '../../../protocol/tensor.js';
import type { ShadowSettings } from './settings.js';

/** Where two answers differ. Values are texts, so that no integer and no NaN is lost on the way to a reader. */
export interface Difference {
  /** The output's name; empty where it is not one output that differs. */
  readonly output: string;
  readonly what: 'status' | 'unreadable' | 'missing' | 'datatype' | 'shape' | 'value';
  /** Of the element, row-major; undefined where the whole output differs. */
  readonly index?: number | undefined;
  readonly real: string;
  readonly shadow: string;
}

export interface Comparison {
  /** The first of each output that differs; none where the answers agree. */
  readonly differences: readonly Difference[];
  /** Largest distance of two finite numbers, within the tolerance or not, over all outputs that are compared. */
  readonly largest: number;
}

interface Tolerance {
  readonly absolute: number;
  readonly relative: number;
}

const SHOWN_TEXT = 200;

/** Compares a shadow's outputs with the real ones. The order of outputs does not matter. */
export function compareOutputs(
  real: readonly Tensor[],
  shadow: readonly Tensor[],
  settings: Pick<ShadowSettings, 'absoluteTolerance' | 'relativeTolerance' | 'outputs'>,
): Comparison {
  const others = new Map(shadow.map((tensor) => [tensor.name, tensor]));
  const differences: Difference[] = [];
  let largest = 0;
  for (const tensor of real) {
    const other = others.get(tensor.name);
    others.delete(tensor.name);
    if (isIgnored(settings, tensor.name)) continue;
    const { difference, distance } = compareTensor(tensor, other, settings);
    if (difference) differences.push(difference);
    if (distance > largest) largest = distance;
  }
  for (const { name, datatype } of others.values())
    if (!isIgnored(settings, name))
      differences.push({ output: name, what: 'missing', real: 'no such output', shadow: datatype });
  return { differences, largest };
}

function isIgnored({ outputs }: Pick<ShadowSettings, 'outputs'>, name: string): boolean {
  return Object.hasOwn(outputs, name) && outputs[name]?.ignore === true;
}

function compareTensor(
  real: Tensor,
  shadow: Tensor | undefined,
  settings: Pick<ShadowSettings, 'absoluteTolerance' | 'relativeTolerance' | 'outputs'>,
): { readonly difference?: Difference; readonly distance: number } {
  const output = real.name;
  const differ = (what: Difference['what'], a: string, b: string) => ({
    difference: { output, what, real: a, shadow: b },
    distance: 0,
  });
  if (!shadow) return differ('missing', real.datatype, 'no such output');
  if (real.datatype !== shadow.datatype) return differ('datatype', real.datatype, shadow.datatype);
  if (real.shape.length !== shadow.shape.length || real.shape.some((size, at) => size !== shadow.shape[at]))
    return differ('shape', `[${real.shape.join(',')}]`, `[${shadow.shape.join(',')}]`);
  const { index, distance } = compareElements(real, shadow, toleranceOf(real.datatype, output, settings));
  if (index === undefined) return { distance };
  return {
    difference: { output, what: 'value', index, real: elementText(real, index), shadow: elementText(shadow, index) },
    distance,
  };
}

/** What is said of one output goes over what is said of all; integers, strings and booleans have none unless it is said. */
function toleranceOf(
  datatype: Datatype,
  name: string,
  settings: Pick<ShadowSettings, 'absoluteTolerance' | 'relativeTolerance' | 'outputs'>,
): Tolerance {
  const own = Object.hasOwn(settings.outputs, name) ? settings.outputs[name] : undefined;
  const isFloat = /^B?FP?\d/.test(datatype);
  return {
    absolute: own?.absoluteTolerance ?? (isFloat ? settings.absoluteTolerance : 0),
    relative: own?.relativeTolerance ?? (isFloat ? settings.relativeTolerance : 0),
  };
}

/** `index`: the first element outside of the tolerance. */
function compareElements(
  real: Tensor,
  shadow: Tensor,
  tolerance: Tolerance,
): { readonly index?: number; readonly distance: number } {
  switch (real.datatype) {
    case 'BYTES': {
      const others = shadow.data as TensorDataOf['BYTES'];
      const index = real.data.findIndex((element, at) => !element.equals(others[at] as Buffer));
      return index < 0 ? { distance: 0 } : { index, distance: 0 };
    }
    case 'BOOL':
      return compareNumbers(real.data, shadow.data as ArrayLike<number>, same, { absolute: 0, relative: 0 });
    case 'INT64':
    case 'UINT64':
      return compareBig(real.data, shadow.data as BigInt64Array, tolerance);
    case 'FP16':
      return compareNumbers(real.data, shadow.data as ArrayLike<number>, fromHalf, tolerance);
    case 'BF16':
      return compareNumbers(real.data, shadow.data as ArrayLike<number>, fromBfloat, tolerance);
    default:
      return compareNumbers(real.data, shadow.data as ArrayLike<number>, same, tolerance);
  }
}

const same = (value: number) => value;

function compareNumbers(
  real: ArrayLike<number>,
  shadow: ArrayLike<number>,
  read: (bits: number) => number,
  tolerance: Tolerance,
): { readonly index?: number; readonly distance: number } {
  let first: number | undefined;
  let largest = 0;
  for (let at = 0; at < real.length; at++) {
    const [a, b] = [read(real[at] as number), read(shadow[at] as number)];
    if (a === b) continue;
    const distance = Math.abs(a - b);
    if (Number.isFinite(distance) && distance > largest) largest = distance;
    if (first === undefined && !agree(a, b, tolerance)) first = at;
  }
  return first === undefined ? { distance: largest } : { index: first, distance: largest };
}

/**
 * Whether two numbers agree: |a − b| ≤ absolute + relative·|a|, as numpy's `allclose` has it, with the real one as `a`. Not
 * a number equals itself, and an infinity only itself.
 */
export function agree(real: number, shadow: number, { absolute, relative }: Tolerance): boolean {
  if (real === shadow || (Number.isNaN(real) && Number.isNaN(shadow))) return true;
  if (!Number.isFinite(real) || !Number.isFinite(shadow)) return false;
  return Math.abs(real - shadow) <= absolute + relative * Math.abs(real);
}

function compareBig(
  real: BigInt64Array | BigUint64Array,
  shadow: BigInt64Array | BigUint64Array,
  tolerance: Tolerance,
): { readonly index?: number; readonly distance: number } {
  let first: number | undefined;
  let largest = 0;
  for (let at = 0; at < real.length; at++) {
    const [a, b] = [real[at] as bigint, shadow[at] as bigint];
    if (a === b) continue;
    const distance = Number(a > b ? a - b : b - a);
    if (distance > largest) largest = distance;
    const allowed = tolerance.absolute + tolerance.relative * Math.abs(Number(a));
    if (first === undefined && distance > allowed) first = at;
  }
  return first === undefined ? { distance: largest } : { index: first, distance: largest };
}

function elementText(tensor: Tensor, index: number): string {
  const value = tensor.data[index];
  if (Buffer.isBuffer(value)) return value.toString('utf8', 0, SHOWN_TEXT);
  if (tensor.datatype === 'BOOL') return value === 0 ? 'false' : 'true';
  if (tensor.datatype === 'FP16') return String(fromHalf(value as number));
  if (tensor.datatype === 'BF16') return String(fromBfloat(value as number));
  return String(value);
}
