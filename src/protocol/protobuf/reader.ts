/**
 * Reading the Protocol Buffers wire format (protobuf.dev/programming-guides/encoding): fields one after the other, without a
 * schema. Whoever reads a message loops over its tags and takes or skips each field.
 */
import { AppError } from '../../errors.js';

export const VARINT = 0;
export const FIXED64 = 1;
export const BYTES = 2;
export const START_GROUP = 3;
export const END_GROUP = 4;
export const FIXED32 = 5;

/** Groups within groups are skipped down to this depth. */
const MAX_DEPTH = 64;

/** A cursor over one message. Every read checks the bounds; what is cut short or malformed throws `invalid`. */
export class ProtoReader {
  /** Number and wire type of the field that `next` moved to. */
  field = 0;
  wire = 0;

  private low = 0;
  private high = 0;

  constructor(
    readonly bytes: Buffer,
    private at = 0,
    private readonly end = bytes.length,
  ) {}

  /** Whether the message has been read to its end: where the numbers of a packed field end. */
  get done(): boolean {
    return this.at >= this.end;
  }

  /** Bytes up to the end of the message. */
  get left(): number {
    return this.end - this.at;
  }

  /** Moves to the next field; false at the end of the message. Its value must then be taken, or skipped. */
  next(): boolean {
    if (this.at >= this.end) return false;
    const tag = this.uint32();
    this.field = tag >>> 3;
    this.wire = tag & 7;
    if (this.field === 0) throw malformed('a field of number 0');
    return true;
  }

  /** A varint's low 32 bits, as uint32, enum and bool are read. */
  uint32(): number {
    const { bytes, end } = this;
    let value = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      if (this.at >= end) throw malformed('a number is cut short');
      const byte = bytes[this.at++] as number;
      if (shift < 32) value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value >>> 0;
    }
    throw malformed('a number has more than 10 bytes');
  }

  int32(): number {
    return this.uint32() | 0;
  }

  /** A varint of any width is true when any of its bits is set. */
  bool(): boolean {
    this.varint64();
    return (this.low | this.high) !== 0;
  }

  uint64(): bigint {
    this.varint64();
    // most numbers are small, and a BigInt from one number is cheaper than from two
    if (this.high === 0) return BigInt(this.low >>> 0);
    return (BigInt(this.high >>> 0) << 32n) | BigInt(this.low >>> 0);
  }

  int64(): bigint {
    return BigInt.asIntN(64, this.uint64());
  }

  /** An int64 as a number; `invalid` beyond 2^53, where it could not be exact. */
  safeInt64(): number {
    this.varint64();
    const number = (this.high | 0) * 2 ** 32 + (this.low >>> 0);
    if (Number.isSafeInteger(number)) return number;
    throw malformed(`${number} is beyond what a count may be`);
  }

  /** A varint's 64 bits as two words, the lower one first; exact without a BigInt. */
  words64(into: Uint32Array, at: number): void {
    this.varint64();
    into[at] = this.low;
    into[at + 1] = this.high;
  }

  float(): number {
    return this.bytes.readFloatLE(this.take(4));
  }

  double(): number {
    return this.bytes.readDoubleLE(this.take(8));
  }

  /** The bytes of a fixed-width number, as they are: 4 or 8. */
  fixed(width: number): Buffer {
    const start = this.take(width);
    return this.bytes.subarray(start, start + width);
  }

  /** A length-delimited field as a view of the message's bytes. */
  view(): Buffer {
    const length = this.uint32();
    const start = this.take(length);
    return this.bytes.subarray(start, start + length);
  }

  string(): string {
    const length = this.uint32();
    const start = this.take(length);
    return this.bytes.toString('utf8', start, start + length);
  }

  /** A message within this one. */
  message(): ProtoReader {
    const length = this.uint32();
    const start = this.take(length);
    return new ProtoReader(this.bytes, start, start + length);
  }

  skip(depth = 0): void {
    switch (this.wire) {
      case VARINT:
        this.varint64();
        return;
      case FIXED64:
        this.take(8);
        return;
      case BYTES:
        this.take(this.uint32());
        return;
      case FIXED32:
        this.take(4);
        return;
      case START_GROUP:
        this.skipGroup(this.field, depth);
        return;
      default:
        throw malformed(`wire type ${this.wire} of field ${this.field}`);
    }
  }

  private skipGroup(group: number, depth: number): void {
    if (depth >= MAX_DEPTH) throw malformed(`groups are nested more than ${MAX_DEPTH} deep`);
    while (this.next()) {
      if (this.wire === END_GROUP) {
        if (this.field !== group) throw malformed('a group ends that did not begin');
        return;
      }
      this.skip(depth + 1);
    }
    throw malformed('a group is cut short');
  }

  /** Refuses a field whose wire type is not the one its type has. */
  expect(wire: number): void {
    if (this.wire !== wire) throw malformed(`field ${this.field} has wire type ${this.wire}, expected ${wire}`);
  }

  /** Reads a varint into `low` and `high`, 32 bits each. */
  private varint64(): void {
    const { bytes, end } = this;
    let low = 0;
    let high = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      if (this.at >= end) throw malformed('a number is cut short');
      const byte = bytes[this.at++] as number;
      const bits = byte & 0x7f;
      if (shift < 28) low |= bits << shift;
      else if (shift === 28) {
        low |= bits << 28;
        high |= bits >> 4;
      } else if (shift < 67) high |= bits << (shift - 32);
      if (byte >= 0x80) continue;
      this.low = low;
      this.high = high;
      return;
    }
    throw malformed('a number has more than 10 bytes');
  }

  private take(length: number): number {
    const start = this.at;
    if (length > this.end - start) throw malformed(`a field of ${length} bytes is cut short`);
    this.at = start + length;
    return start;
  }
}

function malformed(problem: string): AppError {
  return new AppError('invalid', `the message is not valid protobuf: ${problem}`);
}
