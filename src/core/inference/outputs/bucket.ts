/** Which of 64 kinds a value of a model's output is counted as, so that two revisions' outputs can be compared. Pure. */
import type { Datatype } from '../../../protocol/datatypes.js';
import { fromBfloat, fromHalf } from '../../../protocol/float16.js';
import type { Tensor } from '../../../protocol/tensor.js';

/** Whole numbers from 0 that are a kind each: classes, counts, yes and no. */
const SMALL = 48;
/** Kinds of the larger ones and of the negative ones, by magnitude. */
const MAGNITUDES = 8;
/** Kinds of fractions on each side of 0, by their power of two, from 2^-15 and less to 2^15 and more. */
const POWERS = 31;
const NOT_A_NUMBER = 63;

/** A whole number's kind: itself where it is small, else its sign and magnitude. */
export function bucketOfWhole(value: number | bigint): number {
  const number = Number(value);
  if (number >= 0 && number < SMALL) return number;
  const power = Math.floor(Math.log2(Math.abs(number)));
  if (number > 0) return SMALL + Math.min(MAGNITUDES - 1, Math.floor((power - 5) / 4));
  return SMALL + MAGNITUDES + Math.min(MAGNITUDES - 1, Math.floor(power / 4));
}

/** A fraction's kind: its sign and its power of two. */
export function bucketOfFraction(value: number): number {
  if (Number.isNaN(value)) return NOT_A_NUMBER;
  if (value === 0) return 0;
  const half = (POWERS - 1) / 2;
  const power = Math.min(half, Math.max(-half, Math.floor(Math.log2(Math.abs(value)))));
  return (value > 0 ? 1 : 1 + POWERS) + power + half;
}

/** A text's kind: a hash of its bytes (FNV-1a). */
export function bucketOfBytes(bytes: Uint8Array): number {
  let hash = 0x811c9dc5;
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193);
  return ((hash ^ (hash >>> 15)) >>> 0) % 64;
}

/** The kind of an element of a tensor. */
export function bucketOfElement(tensor: Tensor, at: number): number {
  switch (tensor.datatype) {
    case 'FP16':
      return bucketOfFraction(fromHalf(tensor.data[at] ?? 0));
    case 'BF16':
      return bucketOfFraction(fromBfloat(tensor.data[at] ?? 0));
    case 'FP32':
    case 'FP64':
      return bucketOfFraction(tensor.data[at] ?? 0);
    case 'BYTES':
      return bucketOfBytes(tensor.data[at] ?? new Uint8Array());
    default:
      return bucketOfWhole(tensor.data[at] ?? 0);
  }
}

/** The kind of a value of JSON, where the model says of which datatype it is the same as the tensor's would be. */
export function bucketOfJson(value: unknown, datatype: Datatype | undefined): number | undefined {
  switch (typeof value) {
    case 'boolean':
      return value ? 1 : 0;
    case 'number':
      return datatype !== undefined && /^B?F/.test(datatype) && datatype !== 'BOOL'
        ? bucketOfFraction(value)
        : Number.isInteger(value)
          ? bucketOfWhole(value)
          : bucketOfFraction(value);
    case 'string':
      return bucketOfBytes(Buffer.from(value));
    case 'object':
      if (value === null) return NOT_A_NUMBER;
      return 'b64' in value && typeof value.b64 === 'string'
        ? bucketOfBytes(Buffer.from(value.b64, 'base64'))
        : undefined;
    default:
      return undefined;
  }
}
