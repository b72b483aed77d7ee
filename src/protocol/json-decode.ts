import { AppError } from '../errors.js';
import type { Datatype } from './datatypes.js';
import { parseExactIntegers } from './exact-integers.js';
import { toBfloat, toHalf } from './float16.js';
import { elementCount, type Tensor } from './tensor.js';

/** Where a tensor's JSON came from, for messages and for the exact second reading of integers beyond 2^53. */
export interface JsonSource {
  readonly name: string;
  /** The same `data` out of a reading that keeps long integers as text. Called at most once a tensor. */
  readonly exactData: () => unknown;
}

/**
 * Turns the `data` array of a JSON tensor into elements. Flat data, or data nested exactly as the shape says; a ragged
 * nesting is refused, because its numbers would silently move to other places. Lenient where nothing is lost: 0 and 1
 * for BOOL, integers as text, `null`, "NaN", "Infinity" and "-Infinity" for floats. A number too large for its
 * floating type is refused rather than turned into infinity.
 */
export function tensorFromJson(
  source: JsonSource,
  datatype: Datatype,
  shape: readonly number[],
  data: unknown[],
): Tensor {
  const { name } = source;
  const flat = flatten(name, shape, data);
  const n = flat.length;
  const wanted = elementCount(shape);
  if (wanted !== n) {
    throw new AppError(
      'invalid',
      `input "${name}": shape [${shape.join(',')}] holds ${wanted} elements, data has ${n}`,
      { details: { input: name, shape, expected: wanted, actual: n } },
    );
  }
  switch (datatype) {
    case 'FP32':
      return { name, datatype, shape, data: fillFloats(name, datatype, flat, new Float32Array(n)) };
    case 'FP64':
      return { name, datatype, shape, data: fillFloats(name, datatype, flat, new Float64Array(n)) };
    case 'FP16':
      return { name, datatype, shape, data: fillShort(name, datatype, flat, toHalf, 0x7c00) };
    case 'BF16':
      return { name, datatype, shape, data: fillShort(name, datatype, flat, toBfloat, 0x7f80) };
    case 'INT8':
      return { name, datatype, shape, data: fillIntegers(name, datatype, flat, new Int8Array(n)) };
    case 'INT16':
      return { name, datatype, shape, data: fillIntegers(name, datatype, flat, new Int16Array(n)) };
    case 'INT32':
      return { name, datatype, shape, data: fillIntegers(name, datatype, flat, new Int32Array(n)) };
    case 'UINT8':
      return { name, datatype, shape, data: fillIntegers(name, datatype, flat, new Uint8Array(n)) };
    case 'UINT16':
      return { name, datatype, shape, data: fillIntegers(name, datatype, flat, new Uint16Array(n)) };
    case 'UINT32':
      return { name, datatype, shape, data: fillIntegers(name, datatype, flat, new Uint32Array(n)) };
    case 'INT64': {
      const out = new BigInt64Array(n);
      if (!fillSafe64(flat, out, false)) fill64(source, datatype, shape, out);
      return { name, datatype, shape, data: out };
    }
    case 'UINT64': {
      const out = new BigUint64Array(n);
      if (!fillSafe64(flat, out, true)) fill64(source, datatype, shape, out);
      return { name, datatype, shape, data: out };
    }
    case 'BOOL':
      return { name, datatype, shape, data: fillBooleans(name, flat) };
    case 'BYTES':
      return { name, datatype, shape, data: flat.map((value, i) => toBytes(name, value, i)) };
  }
}

/** The same data read again with every long integer kept as its digits; see `exact-integers.ts`. */
export function exactDataOf(text: string, list: 'inputs' | 'outputs', index: number): unknown {
  const again = parseExactIntegers(text) as Record<string, { data?: unknown }[]>;
  return again[list]?.[index]?.data;
}

function flatten(name: string, shape: readonly number[], data: unknown[]): unknown[] {
  if (!Array.isArray(data[0])) return data;
  const out: unknown[] = [];
  const depth = shape.length;
  const walk = (level: unknown[], axis: number) => {
    if (level.length !== shape[axis]) {
      throw new AppError(
        'invalid',
        `input "${name}": data is nested otherwise than shape [${shape.join(',')}] says: ` +
          `${level.length} elements along dimension ${axis}, not ${shape[axis] ?? 'any'}`,
        { details: { input: name, shape, dimension: axis, actual: level.length } },
      );
    }
    if (axis === depth - 1) {
      for (let i = 0; i < level.length; i++) out.push(level[i]);
      return;
    }
    for (const inner of level) {
      if (!Array.isArray(inner)) throw wrongType(name, `nested as shape [${shape.join(',')}]`, inner, out.length);
      walk(inner, axis + 1);
    }
  };
  walk(data, 0);
  return out;
}

function fillFloats<A extends Float32Array | Float64Array>(name: string, type: string, flat: unknown[], out: A): A {
  for (let i = 0; i < flat.length; i++) {
    const value = flat[i];
    if (typeof value === 'number') {
      out[i] = value;
      const stored = out[i] as number;
      if (stored - stored !== 0) throw outOfRange(name, type, value, i);
    } else {
      out[i] = specialFloat(name, type, value, i);
    }
  }
  return out;
}

/** `infinity`: the bits that only NaN and infinities have all set. */
function fillShort(
  name: string,
  type: 'FP16' | 'BF16',
  flat: unknown[],
  toBits: (value: number) => number,
  infinity: number,
): Uint16Array {
  const out = new Uint16Array(flat.length);
  for (let i = 0; i < flat.length; i++) {
    const value = flat[i];
    if (typeof value === 'number') {
      out[i] = toBits(value);
      if (((out[i] as number) & infinity) === infinity) throw outOfRange(name, type, value, i);
    } else {
      out[i] = toBits(specialFloat(name, type, value, i));
    }
  }
  return out;
}

function specialFloat(name: string, type: string, value: unknown, index: number): number {
  if (value === null || value === 'NaN') return Number.NaN;
  if (value === 'Infinity') return Number.POSITIVE_INFINITY;
  if (value === '-Infinity') return Number.NEGATIVE_INFINITY;
  throw wrongType(name, `a number for ${type}`, value, index);
}

type SmallIntegers = Int8Array | Int16Array | Int32Array | Uint8Array | Uint16Array | Uint32Array;

function fillIntegers<A extends SmallIntegers>(name: string, type: string, flat: unknown[], out: A): A {
  for (let i = 0; i < flat.length; i++) {
    const value = flat[i];
    if (typeof value !== 'number') throw wrongType(name, `an integer for ${type}`, value, i);
    out[i] = value;
    // the array wraps what does not fit and cuts fractions, so a difference is either
    if (out[i] !== value) {
      throw Number.isInteger(value)
        ? outOfRange(name, type, value, i)
        : wrongType(name, `an integer for ${type}`, value, i);
    }
  }
  return out;
}

/** Writes both halves without a BigInt each. False as soon as one value is not a safe integer of the right sign. */
function fillSafe64(flat: unknown[], out: BigInt64Array | BigUint64Array, unsigned: boolean): boolean {
  const words = new Int32Array(out.buffer);
  for (let i = 0; i < flat.length; i++) {
    const value = flat[i];
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || (unsigned && value < 0)) return false;
    words[2 * i] = value;
    words[2 * i + 1] = Math.floor(value / 4294967296);
  }
  return true;
}

const RANGE_64 = {
  INT64: [-(2n ** 63n), 2n ** 63n - 1n],
  UINT64: [0n, 2n ** 64n - 1n],
} as const;

function fill64(
  source: JsonSource,
  type: 'INT64' | 'UINT64',
  shape: readonly number[],
  out: BigInt64Array | BigUint64Array,
): void {
  const [low, high] = RANGE_64[type];
  const flat = flatten(source.name, shape, source.exactData() as unknown[]);
  for (let i = 0; i < flat.length; i++) {
    const value = flat[i];
    const whole =
      (typeof value === 'number' && Number.isInteger(value)) || (typeof value === 'string' && /^-?\d+$/.test(value));
    if (!whole) throw wrongType(source.name, `an integer for ${type}`, value, i);
    const exact = BigInt(value as string | number);
    if (exact < low || exact > high) throw outOfRange(source.name, type, value, i, `${low} to ${high}`);
    out[i] = exact;
  }
}

function fillBooleans(name: string, flat: unknown[]): Uint8Array {
  const out = new Uint8Array(flat.length);
  for (let i = 0; i < flat.length; i++) {
    const value = flat[i];
    if (value === true || value === 1) out[i] = 1;
    else if (value !== false && value !== 0) throw wrongType(name, 'true or false for BOOL', value, i);
  }
  return out;
}

function toBytes(name: string, value: unknown, index: number): Buffer {
  if (typeof value !== 'string') throw wrongType(name, 'a string for BYTES', value, index);
  return Buffer.from(value, 'utf8');
}

const BOUNDS: Record<string, string> = {
  INT8: '-128 to 127',
  INT16: '-32768 to 32767',
  INT32: '-2147483648 to 2147483647',
  UINT8: '0 to 255',
  UINT16: '0 to 65535',
  UINT32: '0 to 4294967295',
  FP16: '-65504 to 65504',
  BF16: '-3.3895314e38 to 3.3895314e38',
  FP32: '-3.4028235e38 to 3.4028235e38',
  FP64: '-1.7976931348623157e308 to 1.7976931348623157e308',
};

function outOfRange(name: string, type: string, value: unknown, index: number, bound = BOUNDS[type]): AppError {
  return new AppError('invalid', `input "${name}": element ${index} is ${value}, out of range for ${type} (${bound})`, {
    details: { input: name, element: index, datatype: type, bound },
  });
}

function wrongType(name: string, wanted: string, value: unknown, index: number): AppError {
  const text = (JSON.stringify(value) ?? 'undefined').slice(0, 60);
  return new AppError('invalid', `input "${name}": element ${index} is ${text}, expected ${wanted}`, {
    details: { input: name, element: index },
  });
}
