/** Values of table rows on their way into a tensor's memory, one datatype at a time. */
import { AppError } from '../../errors.js';
import type { Datatype } from '../../protocol/datatypes.js';
import { toBfloat, toHalf } from '../../protocol/float16.js';
import type { Tensor } from '../../protocol/tensor.js';

type Numbers =
  | Uint8Array
  | Uint16Array
  | Uint32Array
  | Int8Array
  | Int16Array
  | Int32Array
  | Float32Array
  | Float64Array;
type WideNumbers = BigInt64Array | BigUint64Array;

const FIRST_CAPACITY = 64;

/** A growing array of one datatype. What is appended is converted only where nothing but precision is lost. */
export interface ElementBuffer {
  readonly length: number;
  /** Appends a value; throws `invalid` saying what it is and what was expected. */
  append(value: unknown): void;
  /** Forgets what stands behind. */
  truncate(length: number): void;
  /** The elements of a range as a tensor of this shape, without copying; appending more does not change it. */
  tensor(name: string, shape: readonly number[], from: number, to: number): Tensor;
}

export function createElements(datatype: Datatype): ElementBuffer {
  switch (datatype) {
    case 'BYTES':
      return new TextElements();
    case 'INT64':
      return new WideElements(datatype, (size) => new BigInt64Array(size), -(2n ** 63n), 2n ** 63n - 1n);
    case 'UINT64':
      return new WideElements(datatype, (size) => new BigUint64Array(size), 0n, 2n ** 64n - 1n);
    default:
      return new NumberElements(datatype);
  }
}

type NumberType = Exclude<Datatype, 'BYTES' | 'INT64' | 'UINT64'>;

/** How numbers of a datatype are kept. */
interface NumberKind {
  make(size: number): Numbers;
  /** From a number to what stands in the array; undefined for integers, which stand as they are. */
  readonly float?: (value: number) => number;
  /** Whether what stands there is an infinity, or NaN. */
  readonly special?: (stored: number) => boolean;
}

const isSpecial = (value: number) => value - value !== 0;

const NUMBERS: Readonly<Record<NumberType, NumberKind>> = {
  BOOL: { make: (size) => new Uint8Array(size) },
  UINT8: { make: (size) => new Uint8Array(size) },
  UINT16: { make: (size) => new Uint16Array(size) },
  UINT32: { make: (size) => new Uint32Array(size) },
  INT8: { make: (size) => new Int8Array(size) },
  INT16: { make: (size) => new Int16Array(size) },
  INT32: { make: (size) => new Int32Array(size) },
  FP16: { make: (size) => new Uint16Array(size), float: toHalf, special: (bits) => (bits & 0x7c00) === 0x7c00 },
  BF16: { make: (size) => new Uint16Array(size), float: toBfloat, special: (bits) => (bits & 0x7f80) === 0x7f80 },
  FP32: { make: (size) => new Float32Array(size), float: Math.fround, special: isSpecial },
  FP64: { make: (size) => new Float64Array(size), float: (value) => value, special: isSpecial },
};

class NumberElements implements ElementBuffer {
  length = 0;
  private data: Numbers;
  private readonly kind: NumberKind;

  constructor(private readonly datatype: NumberType) {
    this.kind = NUMBERS[datatype];
    this.data = this.kind.make(FIRST_CAPACITY);
  }

  append(value: unknown): void {
    if (this.length === this.data.length) this.grow();
    const number = typeof value === 'number' ? value : this.numberOf(value);
    const stored = this.kind.float?.(number) ?? number;
    // a number too large for its type is refused rather than turned into infinity
    if (this.kind.special?.(stored) && !isSpecial(number)) throw wrong(value, this.datatype);
    this.data[this.length] = stored;
    // an array of integers wraps what does not fit and cuts fractions, so a difference is either
    const kept = this.kind.float !== undefined || this.data[this.length] === number;
    if (!kept || (this.datatype === 'BOOL' && number > 1)) throw wrong(value, this.datatype);
    this.length++;
  }

  private numberOf(value: unknown): number {
    if (typeof value === 'boolean') return value ? 1 : 0;
    if (typeof value === 'bigint') return Number(value);
    if (this.kind.float) {
      if (value === null || value === 'NaN') return Number.NaN;
      if (value === 'Infinity') return Number.POSITIVE_INFINITY;
      if (value === '-Infinity') return Number.NEGATIVE_INFINITY;
    }
    throw wrong(value, this.datatype);
  }

  private grow(): void {
    const grown = this.kind.make(this.data.length * 2);
    grown.set(this.data);
    this.data = grown;
  }

  truncate(length: number): void {
    this.length = length;
  }

  tensor(name: string, shape: readonly number[], from: number, to: number): Tensor {
    return { name, datatype: this.datatype, shape, data: this.data.subarray(from, to) } as Tensor;
  }
}

class WideElements implements ElementBuffer {
  length = 0;
  private data: WideNumbers;

  constructor(
    private readonly datatype: 'INT64' | 'UINT64',
    private readonly make: (size: number) => WideNumbers,
    private readonly least: bigint,
    private readonly most: bigint,
  ) {
    this.data = make(FIRST_CAPACITY);
  }

  append(value: unknown): void {
    if (this.length === this.data.length) {
      const grown = this.make(this.data.length * 2);
      grown.set(this.data as never);
      this.data = grown;
    }
    const integer = wideOf(value);
    if (integer === undefined || integer < this.least || integer > this.most) throw wrong(value, this.datatype);
    this.data[this.length++] = integer;
  }

  truncate(length: number): void {
    this.length = length;
  }

  tensor(name: string, shape: readonly number[], from: number, to: number): Tensor {
    return { name, datatype: this.datatype, shape, data: this.data.subarray(from, to) } as Tensor;
  }
}

function wideOf(value: unknown): bigint | undefined {
  if (typeof value === 'bigint') return value;
  if (typeof value === 'number') return Number.isInteger(value) ? BigInt(value) : undefined;
  if (typeof value === 'boolean') return value ? 1n : 0n;
  // as text, because many writers of JSON cannot print them otherwise
  return typeof value === 'string' && /^-?\d{1,20}$/.test(value) ? BigInt(value) : undefined;
}

class TextElements implements ElementBuffer {
  private data: Buffer[] = [];

  get length(): number {
    return this.data.length;
  }

  append(value: unknown): void {
    if (typeof value === 'string') this.data.push(Buffer.from(value, 'utf8'));
    else if (value instanceof Uint8Array) this.data.push(Buffer.from(value));
    else throw wrong(value, 'BYTES');
  }

  truncate(length: number): void {
    this.data.length = length;
  }

  tensor(name: string, shape: readonly number[], from: number, to: number): Tensor {
    return { name, datatype: 'BYTES', shape, data: this.data.slice(from, to) };
  }
}

const EXPECTED: Readonly<Partial<Record<Datatype, string>>> = {
  BYTES: 'text',
  BOOL: 'true or false',
  FP16: 'a number within FP16',
  BF16: 'a number within BF16',
  FP32: 'a number within FP32',
  FP64: 'a number',
};

function wrong(value: unknown, datatype: Datatype): AppError {
  return new AppError(
    'invalid',
    `it is ${shown(value)}, expected ${EXPECTED[datatype] ?? `an integer within ${datatype}`}`,
  );
}

const LONGEST = 60;

/** A value for a message. */
export function shown(value: unknown): string {
  if (value === undefined) return 'missing';
  if (typeof value === 'bigint' || typeof value === 'number') return String(value);
  if (value instanceof Uint8Array) return `${value.length} bytes`;
  const text = JSON.stringify(value, (_key, inner) => (typeof inner === 'bigint' ? Number(inner) : inner)) ?? '';
  return text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text;
}
