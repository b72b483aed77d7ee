/** Compares what was answered with what the framework itself gave. */
import { fromBfloat, fromHalf } from '../../src/protocol/float16.js';
import { type Tensor, tensorToBytes } from '../../src/protocol/tensor.js';
import type { Answered } from './answers.js';

/** Largest difference of two numbers, relative to their size where that is above 1. */
export const TOLERANCE = 1e-6;

const NARROW: ReadonlySet<string> = new Set(['FP32', 'FP16', 'BF16']);

/** What was found over many comparisons. */
export interface Tally {
  tensors: number;
  /** Tensors that are the same to the last bit. */
  exact: number;
  largest: number;
  readonly wrong: string[];
}

export function newTally(): Tally {
  return { tensors: 0, exact: 0, largest: 0, wrong: [] };
}

/** Adds the comparison of one answer; `where` names it. Outputs may come in any order. */
export function compare(tally: Tally, where: string, expected: readonly Tensor[], answered: readonly Answered[]): void {
  const names = (list: readonly string[]) => [...list].sort().join(', ');
  const [wanted, given] = [names(expected.map(({ name }) => name)), names(answered.map((one) => headOf(one).name))];
  if (wanted !== given) tally.wrong.push(`${where}: outputs ${given}, expected ${wanted}`);
  for (const tensor of expected) {
    const found = answered.find((one) => headOf(one).name === tensor.name);
    if (found) compareTensor(tally, `${where}, output ${tensor.name}`, tensor, found);
  }
}

function compareTensor(tally: Tally, where: string, expected: Tensor, answered: Answered): void {
  tally.tensors++;
  const head = headOf(answered);
  const [is, should] = [head, expected].map(({ datatype, shape }) => `${datatype}[${shape.join(',')}]`);
  if (is !== should) {
    tally.wrong.push(`${where}: ${is}, expected ${should}`);
    return;
  }
  if (answered.kind === 'binary' && tensorToBytes(answered.tensor).equals(tensorToBytes(expected))) {
    tally.exact++;
    return;
  }
  const [values, wanted] = [answered.kind === 'json' ? answered.values : valuesOf(answered.tensor), valuesOf(expected)];
  const difference = values.length === wanted.length ? largestDifference(expected, values, wanted) : Infinity;
  if (difference === 0) tally.exact++;
  tally.largest = Math.max(tally.largest, difference);
  if (difference > TOLERANCE) tally.wrong.push(`${where}: differs by ${difference}`);
}

function largestDifference(tensor: Tensor, values: readonly unknown[], wanted: readonly unknown[]): number {
  let largest = 0;
  for (const [at, value] of values.entries()) {
    const other = wanted[at];
    if (typeof value !== 'number' || typeof other !== 'number') {
      if (value !== other) return Infinity;
      continue;
    }
    // JSON has a number of single or half precision in as few digits as lead back to it
    const number = NARROW.has(tensor.datatype) ? Math.fround(value) : value;
    largest = Math.max(largest, Math.abs(number - other) / Math.max(1, Math.abs(other)));
  }
  return largest;
}

/** The elements as JSON would have them; 64-bit integers lose what JavaScript's numbers lose on both sides. */
function valuesOf(tensor: Tensor): unknown[] {
  switch (tensor.datatype) {
    case 'BOOL':
      return Array.from(tensor.data, (value) => value === 1);
    case 'BYTES':
      return tensor.data.map((bytes) => bytes.toString('utf8'));
    case 'FP16':
      return Array.from(tensor.data, fromHalf);
    case 'BF16':
      return Array.from(tensor.data, fromBfloat);
    default:
      return Array.from(tensor.data as ArrayLike<number | bigint>, Number);
  }
}

function headOf(answered: Answered): { name: string; datatype: string; shape: readonly number[] } {
  return answered.kind === 'json' ? answered : answered.tensor;
}
