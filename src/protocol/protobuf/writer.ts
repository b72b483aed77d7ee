/** Writing the Protocol Buffers wire format. Fields are written in the order of the calls; defaults are the caller's to leave out. */
import { BYTES, FIXED32, FIXED64, VARINT } from './reader.js';

/**
 * Collects the parts of a message: small fields go into blocks, large byte fields are kept as they are, so that a tensor
 * is copied once at most, when the parts are joined.
 */
export class ProtoWriter {
  private readonly parts: Buffer[] = [];
  private block = Buffer.allocUnsafe(BLOCK_BYTES);
  private from = 0;
  private at = 0;
  private finished = 0;

  /** Bytes written so far. */
  get length(): number {
    return this.finished + this.at - this.from;
  }

  uint32(field: number, value: number): void {
    this.room(16);
    this.tag(field, VARINT);
    this.varint(value);
  }

  /** int32 and enum: a negative number takes ten bytes. */
  int32(field: number, value: number): void {
    if (value < 0) this.int64(field, BigInt(value));
    else this.uint32(field, value);
  }

  bool(field: number, value: boolean): void {
    this.uint32(field, value ? 1 : 0);
  }

  /** A safe integer, or a BigInt of 64 bits, signed or not. */
  int64(field: number, value: number | bigint): void {
    this.room(16);
    this.tag(field, VARINT);
    this.varint64(value);
  }

  float(field: number, value: number): void {
    this.room(16);
    this.tag(field, FIXED32);
    this.at = this.block.writeFloatLE(value, this.at);
  }

  double(field: number, value: number): void {
    this.room(16);
    this.tag(field, FIXED64);
    this.at = this.block.writeDoubleLE(value, this.at);
  }

  string(field: number, value: string): void {
    if (value.length > INLINE_BYTES / 3) {
      this.bytes(field, Buffer.from(value, 'utf8'));
      return;
    }
    const size = Buffer.byteLength(value, 'utf8');
    this.room(16 + size);
    this.tag(field, BYTES);
    this.varint(size);
    this.at += this.block.write(value, this.at, 'utf8');
  }

  bytes(field: number, value: Uint8Array): void {
    this.room(16);
    this.tag(field, BYTES);
    this.varint(value.length);
    this.raw(value);
  }

  /** The beginning of a field of so many bytes, which are to be sent behind all that is written here. */
  bytesHead(field: number, bytes: number): void {
    this.room(16);
    this.tag(field, BYTES);
    this.varint(bytes);
  }

  /** A message within this one, written before by another writer. */
  message(field: number, inner: ProtoWriter): void {
    this.room(16);
    this.tag(field, BYTES);
    this.varint(inner.length);
    for (const part of inner.take()) this.raw(part);
  }

  /**
   * A message within this one. Most are small: `write` puts it straight into the block, behind a length of one byte. Where
   * it turns out not to fit there, that is undone and `write` is called once more, with a writer of its own; `small` false
   * says beforehand that it will not.
   */
  nested(field: number, write: (inner: ProtoWriter) => void, small = true): void {
    if (small && this.nestedInBlock(field, write)) return;
    const inner = new ProtoWriter();
    write(inner);
    this.message(field, inner);
  }

  /** A repeated number field in its packed form; `write` is called for each value and writes it with `packed…`. */
  packed(field: number, count: number, write: (inner: ProtoWriter, index: number) => void): void {
    if (count === 0) return;
    const all = (inner: ProtoWriter) => {
      for (let index = 0; index < count; index++) write(inner, index);
    };
    this.nested(field, all, count * MAX_VARINT_BYTES < ONE_BYTE_LENGTH);
  }

  /** A bare varint of up to 32 bits, for packed fields. */
  packedUint32(value: number): void {
    this.room(16);
    this.varint(value >>> 0);
  }

  /** A bare varint of 64 bits, for packed fields. */
  packedInt64(value: number | bigint): void {
    this.room(16);
    this.varint64(value);
  }

  /** The parts of the message so far; the writer is used up by that. */
  take(): Buffer[] {
    this.cut();
    return this.parts;
  }

  /** The message so far in one piece; the writer is used up by that. */
  finish(): Buffer {
    const size = this.length;
    const parts = this.take();
    return parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts, size);
  }

  private nestedInBlock(field: number, write: (inner: ProtoWriter) => void): boolean {
    this.room(16 + ONE_BYTE_LENGTH);
    const { block, from, at, finished } = this;
    const parts = this.parts.length;
    this.tag(field, BYTES);
    const lengthAt = this.at++;
    write(this);
    const length = this.at - lengthAt - 1;
    if (this.parts.length === parts && this.block === block && length < ONE_BYTE_LENGTH) {
      block[lengthAt] = length;
      return true;
    }
    Object.assign(this, { block, from, at, finished });
    this.parts.length = parts;
    return false;
  }

  private raw(value: Uint8Array): void {
    if (value.length <= INLINE_BYTES) {
      this.room(value.length);
      this.block.set(value, this.at);
      this.at += value.length;
      return;
    }
    this.cut();
    this.parts.push(Buffer.from(value.buffer as ArrayBuffer, value.byteOffset, value.byteLength));
    this.finished += value.length;
  }

  private tag(field: number, wire: number): void {
    this.varint(field * 8 + wire);
  }

  private varint(value: number): void {
    let rest = value;
    while (rest > 127) {
      this.block[this.at++] = (rest & 0x7f) | 0x80;
      rest = rest < 0x80000000 ? rest >>> 7 : Math.floor(rest / 128);
    }
    this.block[this.at++] = rest;
  }

  private varint64(value: number | bigint): void {
    if (typeof value === 'number' && value >= 0) {
      this.varint(value);
      return;
    }
    let rest = BigInt.asUintN(64, BigInt(value));
    while (rest > 127n) {
      this.block[this.at++] = Number(rest & 0x7fn) | 0x80;
      rest >>= 7n;
    }
    this.block[this.at++] = Number(rest);
  }

  private room(bytes: number): void {
    if (this.block.length - this.at >= bytes) return;
    this.cut();
    this.block = Buffer.allocUnsafe(Math.max(BLOCK_BYTES, bytes));
    this.from = 0;
    this.at = 0;
  }

  private cut(): void {
    if (this.at === this.from) return;
    this.parts.push(this.block.subarray(this.from, this.at));
    this.finished += this.at - this.from;
    this.from = this.at;
  }
}

const BLOCK_BYTES = 256;
const MAX_VARINT_BYTES = 10;
/** Lengths below this take one byte. */
const ONE_BYTE_LENGTH = 128;
/** Byte fields up to this size are copied into the block; larger ones are kept as they are. */
const INLINE_BYTES = 192;
