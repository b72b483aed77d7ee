/** Whether a model's rows keep to themselves: what it says of its shapes does not prove that. */
import { fromBfloat, fromHalf } from '../../protocol/float16.js';
import type { Tensor } from '../../protocol/tensor.js';

/** Batches that must have agreed with their requests run alone. */
const CHECKS = 2;

/** Largest difference that another order of the same sums makes, relative to the largest value of the output. */
const TOLERANCE: Partial<Record<Tensor['datatype'], number>> = { FP16: 2e-2, BF16: 5e-2, FP32: 1e-3, FP64: 1e-6 };

/** What is known of a model's batches. A model is trusted after a few real requests agreed, and never after one did not. */
export class BatchTrust {
  private agreed = 0;
  /** Why requests are not joined any more. */
  refusal: string | undefined;

  /** Whether the next batch is to be compared with its requests run alone. */
  get wantsCheck(): boolean {
    return this.refusal === undefined && this.agreed < CHECKS;
  }

  get allowed(): boolean {
    return this.refusal === undefined;
  }

  /** Notes what one request got out of a batch, and alone. */
  compare(joined: readonly Tensor[], alone: readonly Tensor[]): void {
    const problem = difference(joined, alone);
    if (problem === undefined) this.agreed++;
    else this.refusal = problem;
  }

  refuse(problem: string): void {
    this.refusal = problem;
  }
}

/** Where two answers to one request differ by more than rounding does; undefined when they agree. */
export function difference(joined: readonly Tensor[], alone: readonly Tensor[]): string | undefined {
  for (const [at, mine] of alone.entries()) {
    const other = joined[at];
    if (other?.shape.join() !== mine.shape.join()) {
      return `output "${mine.name}" has shape [${mine.shape.join(',')}] alone and [${other?.shape.join(',')}] in a batch`;
    }
    const tolerance = TOLERANCE[mine.datatype] ?? 0;
    const a = values(mine);
    const b = values(other);
    const scale = tolerance === 0 ? 0 : largest(a as number[]);
    for (let i = 0; i < a.length; i++) {
      if (agrees(a[i], b[i], tolerance * scale)) continue;
      return `output "${mine.name}" is ${a[i]} alone and ${b[i]} in a batch: its rows influence one another`;
    }
  }
  return undefined;
}

type Value = number | bigint | string | undefined;

function agrees(a: Value, b: Value, within: number): boolean {
  if (a === b || (Number.isNaN(a) && Number.isNaN(b))) return true;
  return typeof a === 'number' && typeof b === 'number' && Math.abs(a - b) <= within;
}

function values(tensor: Tensor): Value[] {
  if (tensor.datatype === 'BYTES') return tensor.data.map((element) => element.toString('latin1'));
  if (tensor.datatype === 'FP16') return Array.from(tensor.data, fromHalf);
  if (tensor.datatype === 'BF16') return Array.from(tensor.data, fromBfloat);
  return Array.from<Value>(tensor.data);
}

function largest(numbers: readonly number[]): number {
  let most = 0;
  for (const value of numbers) if (Number.isFinite(value) && Math.abs(value) > most) most = Math.abs(value);
  return most;
}
