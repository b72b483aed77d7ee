/** The suite's own comparison: names, types and shapes exactly, numbers as NumPy's assert_allclose has it. */
import { fromBfloat, fromHalf } from '../../src/protocol/float16.js';
import type { Tensor } from '../../src/protocol/tensor.js';

export interface Tolerance {
  readonly rtol: number;
  readonly atol: number;
}

/** Two units in the last place of bfloat16, which the suite allows at least. */
const BFLOAT_RTOL = 2 ** -6;

/** Where the answer is not what is expected; undefined when it is. */
export function difference(
  expected: readonly Tensor[],
  answered: readonly Tensor[],
  tolerance: Tolerance,
): string | undefined {
  const names = (tensors: readonly Tensor[]) => tensors.map(({ name }) => name).join(', ');
  if (names(expected) !== names(answered)) return `outputs ${names(answered)}, expected ${names(expected)}`;
  for (const [at, tensor] of expected.entries()) {
    const found = tensorDifference(tensor, answered[at] as Tensor, tolerance);
    if (found !== undefined) return `output ${tensor.name}: ${found}`;
  }
  return undefined;
}

function tensorDifference(expected: Tensor, answered: Tensor, { rtol, atol }: Tolerance): string | undefined {
  const [should, is] = [expected, answered].map(({ datatype, shape }) => `${datatype}[${shape.join(',')}]`);
  if (should !== is) return `${is}, expected ${should}`;
  const relative = expected.datatype === 'BF16' ? Math.max(rtol, BFLOAT_RTOL) : rtol;
  const [wanted, given] = [valuesOf(expected), valuesOf(answered)];
  const at = wanted.findIndex((value, i) => !agrees(value, given[i], relative, atol));
  return at === -1 ? undefined : `element ${at} is ${given[at]}, expected ${wanted[at]}`;
}

type Value = number | bigint | string;

function agrees(wanted: Value, given: Value | undefined, rtol: number, atol: number): boolean {
  if (wanted === given || (Number.isNaN(wanted) && Number.isNaN(given))) return true;
  if (typeof wanted === 'string' || typeof given === 'string' || given === undefined) return false;
  return Math.abs(Number(given) - Number(wanted)) <= atol + rtol * Math.abs(Number(wanted));
}

function valuesOf(tensor: Tensor): Value[] {
  switch (tensor.datatype) {
    case 'BYTES':
      return tensor.data.map((bytes) => bytes.toString('latin1'));
    case 'FP16':
      return Array.from(tensor.data, fromHalf);
    case 'BF16':
      return Array.from(tensor.data, fromBfloat);
    default:
      return Array.from<Value>(tensor.data);
  }
}
