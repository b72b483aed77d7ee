import { AppError } from '../../errors.js';
import type { Datatype } from '../datatypes.js';
import { toBfloat, toHalf } from '../float16.js';
import { elementCount, type Tensor, type TensorDataOf } from '../tensor.js';
import { ElementWalk } from './element-walk.js';
import { passNumber, readNumbers } from './numbers.js';
import type { JsonScanner } from './scanner.js';

const QUOTE = 0x22;
const MINUS = 0x2d;
const COMMA = 0x2c;
const OPEN_OBJECT = 0x7b;

/** With or without padding, of either alphabet. */
const BASE64 = /^[A-Za-z0-9+/_-]*={0,2}$/;

/** Numbers on their way from text to a tensor, so many at once. */
const SCRATCH = 1024;
const scratch = new Float64Array(SCRATCH);

/**
 * Reads the `data` array of a JSON tensor. Lenient where nothing is lost: 0 and 1 for BOOL, 64-bit integers as text,
 * `null`, NaN, Infinity and -Infinity, bare or quoted, for floats, `{"b64": …}` for BYTES. A number too large for its
 * floating type is refused rather than turned into infinity; 64-bit integers keep all their digits.
 */
export function readTensorData(
  scanner: JsonScanner,
  name: string,
  datatype: Datatype,
  shape: readonly number[],
): Tensor {
  const reading = new Reading(scanner, name, datatype, shape);
  const data = reading.elements();
  return { name, datatype, shape, data } as Tensor;
}

type SmallIntegers = Int8Array | Int16Array | Int32Array | Uint8Array | Uint16Array | Uint32Array;

/** One tensor being read: what all the loops below share. */
class Reading {
  private readonly walk: ElementWalk;
  private readonly count: number;
  private index = 0;

  constructor(
    private readonly scanner: JsonScanner,
    private readonly name: string,
    private readonly datatype: Datatype,
    private readonly shape: readonly number[],
  ) {
    this.walk = new ElementWalk(scanner, name, shape);
    this.count = elementCount(shape);
    // an element takes two bytes at least: memory for more than there can be is not even asked for
    if (this.count > (scanner.end - scanner.at) / 2 + 1) throw this.wrongCount();
  }

  elements(): TensorDataOf[Datatype] {
    const { count } = this;
    switch (this.datatype) {
      case 'FP32':
        return this.floats(new Float32Array(count), true);
      case 'FP64':
        return this.floats(new Float64Array(count), false);
      case 'FP16':
        return this.shorts(toHalf, 0x7c00);
      case 'BF16':
        return this.shorts(toBfloat, 0x7f80);
      case 'INT8':
        return this.integers(new Int8Array(count));
      case 'INT16':
        return this.integers(new Int16Array(count));
      case 'INT32':
        return this.integers(new Int32Array(count));
      case 'UINT8':
        return this.integers(new Uint8Array(count));
      case 'UINT16':
        return this.integers(new Uint16Array(count));
      case 'UINT32':
        return this.integers(new Uint32Array(count));
      case 'INT64':
        return this.wideIntegers(new BigInt64Array(count), RANGE_64.INT64);
      case 'UINT64':
        return this.wideIntegers(new BigUint64Array(count), RANGE_64.UINT64);
      case 'BOOL':
        return this.booleans();
      case 'BYTES':
        return this.strings();
    }
  }

  private floats<A extends Float32Array | Float64Array>(out: A, single: boolean): A {
    while (this.next()) {
      const read = this.numbers(single);
      // below some hundred numbers a loop is faster than the views that `set` needs
      if (read < 256) for (let i = 0; i < read; i++) out[this.index + i] = scratch[i] as number;
      else out.set(scratch.subarray(0, read), this.index);
      this.index += read;
    }
    return out;
  }

  /** `infinity`: the bits that only NaN and infinities have all set. */
  private shorts(toBits: (value: number) => number, infinity: number): Uint16Array {
    const out = new Uint16Array(this.count);
    while (this.next()) {
      const read = this.numbers(false);
      for (let i = 0; i < read; i++) {
        const value = scratch[i] as number;
        const bits = toBits(value);
        if ((bits & infinity) === infinity && Number.isFinite(value)) throw this.outOfRange(value);
        out[this.index++] = bits;
      }
    }
    return out;
  }

  /** Reads this element, and numbers that follow in the same array, into the scratch memory; how many. */
  private numbers(single: boolean): number {
    const { scanner } = this;
    if (!startsNumber(scanner)) {
      scratch[0] = this.special();
      return 1;
    }
    // one too many is for `next` to refuse
    const read = readNumbers(scanner, scratch, Math.min(this.count - this.index, SCRATCH), single);
    if (read === 0) throw this.outOfRange(Number(passNumber(scanner)));
    this.walk.passed(read - 1);
    return read;
  }

  /** What stands where a number was expected: NaN or an infinity. */
  private special(): number {
    const { scanner } = this;
    const quoted = scanner.peek() === QUOTE;
    const start = scanner.at;
    if (quoted) scanner.at++;
    let value: number | undefined;
    if (scanner.word('NaN')) value = Number.NaN;
    else if (scanner.word('Infinity')) value = Number.POSITIVE_INFINITY;
    else if (scanner.word('-Infinity')) value = Number.NEGATIVE_INFINITY;
    else if (!quoted && scanner.word('null')) value = Number.NaN;
    if (value !== undefined && (!quoted || scanner.bytes[scanner.at++] === QUOTE)) return value;
    scanner.at = start;
    throw this.wrongType(`a number for ${this.datatype}`);
  }

  private integers<A extends SmallIntegers>(out: A): A {
    while (this.next()) {
      const start = this.scanner.at;
      if (!startsNumber(this.scanner)) throw this.wrongType(`an integer for ${this.datatype}`);
      const read = this.numbers(false);
      for (let i = 0; i < read; i++) {
        const value = scratch[i] as number;
        out[this.index] = value;
        // the array wraps what does not fit and cuts fractions, so a difference is either
        if (out[this.index] !== value) {
          if (Number.isInteger(value)) throw this.outOfRange(value);
          this.scanner.at = start;
          this.pass(i);
          throw this.wrongType(`an integer for ${this.datatype}`);
        }
        this.index++;
      }
    }
    return out;
  }

  private wideIntegers<A extends BigInt64Array | BigUint64Array>(out: A, [low, high]: readonly [bigint, bigint]): A {
    const words = new Int32Array(out.buffer);
    const least = low < 0n ? Number.MIN_SAFE_INTEGER : 0;
    let exact = true;
    while (this.next()) {
      const start = this.scanner.at;
      if (exact && startsNumber(this.scanner)) {
        const read = this.numbers(false);
        for (let i = 0; i < read && exact; i++) {
          const value = scratch[i] as number;
          exact = value >= least && Number.isSafeInteger(value);
          // both halves without a BigInt
          words[2 * (this.index + i)] = value;
          words[2 * (this.index + i) + 1] = Math.floor(value / 4294967296);
        }
        if (exact) {
          this.index += read;
          continue;
        }
        // from here on by their digits, one by one
        this.scanner.at = start;
        this.walk.passed(1 - read);
      }
      const value = this.digits();
      if (value < low || value > high) throw this.outOfRange(value);
      out[this.index++] = value;
    }
    return out;
  }

  /** Passes over so many elements of one array, and what parts them from the next one. */
  private pass(elements: number): void {
    for (let i = 0; i < elements; i++) {
      this.scanner.skip();
      this.scanner.accept(COMMA);
    }
  }

  /** An integer by its digits, bare or quoted; one with a fraction or an exponent by its value. */
  private digits(): bigint {
    const { scanner } = this;
    const quoted = scanner.peek() === QUOTE;
    const start = scanner.at;
    if (quoted || startsNumber(scanner)) {
      const text = quoted ? scanner.string() : passNumber(scanner);
      if (/^-?\d{1,40}$/.test(text)) return BigInt(text);
      const value = quoted ? Number.NaN : Number(text);
      if (Number.isInteger(value)) return BigInt(value);
    }
    scanner.at = start;
    throw this.wrongType(`an integer for ${this.datatype}`);
  }

  private booleans(): Uint8Array {
    const out = new Uint8Array(this.count);
    const { scanner } = this;
    while (this.next()) {
      if (scanner.word('true')) out[this.index++] = 1;
      else if (scanner.word('false')) this.index++;
      else {
        const start = scanner.at;
        const value = startsNumber(scanner) ? Number(passNumber(scanner)) : undefined;
        if (value !== 0 && value !== 1) {
          scanner.at = start;
          throw this.wrongType('true or false for BOOL');
        }
        out[this.index++] = value;
      }
    }
    return out;
  }

  private strings(): Buffer[] {
    const out: Buffer[] = [];
    const { scanner } = this;
    while (this.next()) {
      const byte = scanner.peek();
      if (byte === QUOTE) out.push(scanner.stringBytes());
      else if (byte === OPEN_OBJECT) out.push(this.base64());
      else throw this.wrongType('a string for BYTES');
      this.index++;
    }
    return out;
  }

  /** Bytes as TensorFlow Serving writes them: `{"b64": "…"}`. */
  private base64(): Buffer {
    const start = this.scanner.at;
    const value = this.scanner.value() as Record<string, unknown>;
    const text = value.b64;
    if (typeof text === 'string' && BASE64.test(text) && Object.keys(value).length === 1)
      return Buffer.from(text, 'base64');
    this.scanner.at = start;
    throw this.wrongType('a string for BYTES, or {"b64": "…"}');
  }

  /** Moves to the next element; refuses one too many, and an end too early. */
  private next(): boolean {
    if (this.walk.next()) {
      if (this.index < this.count) return true;
      throw this.wrongCount();
    }
    if (this.index === this.count) return false;
    throw this.wrongCount();
  }

  private wrongCount(): AppError {
    const { name, shape, count, scanner, walk } = this;
    let actual = this.index;
    if (actual === count) {
      // the one too many is next, and there may be more
      for (let more = true; more; more = walk.next()) {
        scanner.skip();
        actual++;
      }
    } else if (actual === 0 && walk.found.length === 0) {
      for (; walk.next(); actual++) scanner.skip();
    }
    return new AppError(
      'invalid',
      `input "${name}": shape [${shape.join(',')}] holds ${count} elements, data has ${actual}`,
      { details: { input: name, shape, expected: count, actual } },
    );
  }

  private outOfRange(value: number | bigint): AppError {
    const { name, datatype, index } = this;
    const bound = BOUNDS[datatype];
    return new AppError(
      'invalid',
      `input "${name}": element ${index} is ${value}, out of range for ${datatype} (${bound})`,
      { details: { input: name, element: index, datatype, bound } },
    );
  }

  /** At an element that is something else; what it is, is read for the message. */
  private wrongType(wanted: string): AppError {
    const { name, index, scanner } = this;
    const start = scanner.at;
    scanner.skip();
    const text = scanner.bytes.toString('utf8', start, Math.min(scanner.at, start + 60));
    return new AppError('invalid', `input "${name}": element ${index} is ${text}, expected ${wanted}`, {
      details: { input: name, element: index },
    });
  }
}

/** Whether a number is next; "-Infinity" is none. */
function startsNumber(scanner: JsonScanner): boolean {
  let byte = scanner.peek();
  if (byte === MINUS) byte = scanner.bytes[scanner.at + 1] ?? -1;
  return byte >= 0x30 && byte <= 0x39;
}

const RANGE_64 = {
  INT64: [-(2n ** 63n), 2n ** 63n - 1n],
  UINT64: [0n, 2n ** 64n - 1n],
} as const;

const BOUNDS: Record<Datatype, string> = {
  BOOL: 'true or false',
  INT8: '-128 to 127',
  INT16: '-32768 to 32767',
  INT32: '-2147483648 to 2147483647',
  INT64: `${RANGE_64.INT64[0]} to ${RANGE_64.INT64[1]}`,
  UINT8: '0 to 255',
  UINT16: '0 to 65535',
  UINT32: '0 to 4294967295',
  UINT64: `${RANGE_64.UINT64[0]} to ${RANGE_64.UINT64[1]}`,
  FP16: '-65504 to 65504',
  BF16: '-3.3895314e38 to 3.3895314e38',
  FP32: '-3.4028235e38 to 3.4028235e38',
  FP64: '-1.7976931348623157e308 to 1.7976931348623157e308',
  BYTES: 'text',
};
