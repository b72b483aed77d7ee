/**
 * Reads JSON from bytes without making a value of all of it: a prediction's body is mostly numbers, which go from text
 * straight to where the model reads them. Strict (RFC 8259), except where a caller asks for less.
 */
import { AppError } from '../../errors.js';
import { passNumber, startsNumber } from './numbers.js';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const ZERO = 0x30;
const NINE = 0x39;
const SPACE = 0x20;

/** Values that nobody asked for are passed over down to this depth of nesting. */
const MAX_DEPTH = 512;
const NOT_PLAIN = -1;
/** Strings met lately, by their hash: bodies repeat the same few names, and making a string of bytes costs more. */
const TABLE_SIZE = 1024;
const MAX_KNOWN_LENGTH = 64;
const table = new Array<string>(TABLE_SIZE).fill('');

function known(bytes: Buffer, from: number, to: number, hash: number): string {
  const length = to - from;
  if (length > MAX_KNOWN_LENGTH) return bytes.toString('latin1', from, to);
  const slot = hash & (TABLE_SIZE - 1);
  const candidate = table[slot] as string;
  if (candidate.length === length) {
    let at = 0;
    while (at < length && candidate.charCodeAt(at) === bytes[from + at]) at++;
    if (at === length) return candidate;
  }
  const text = bytes.toString('latin1', from, to);
  table[slot] = text;
  return text;
}

/** A position in a JSON text. Every method throws `invalid` where the text is not what it reads. */
export class JsonScanner {
  constructor(
    readonly bytes: Buffer,
    public at = 0,
    readonly end = bytes.length,
  ) {}

  /** Passes over white space; the byte that is next, or -1 at the end. */
  peek(): number {
    const { bytes, end } = this;
    let at = this.at;
    while (at < end) {
      const byte = bytes[at] as number;
      if (byte > SPACE || (byte !== SPACE && byte !== 0x0a && byte !== 0x0d && byte !== 0x09)) {
        this.at = at;
        return byte;
      }
      at++;
    }
    this.at = at;
    return -1;
  }

  /** Passes over white space and this byte if it is next. */
  accept(byte: number): boolean {
    if (this.peek() !== byte) return false;
    this.at++;
    return true;
  }

  expect(byte: number): void {
    if (!this.accept(byte)) throw this.unexpected(`"${String.fromCharCode(byte)}"`);
  }

  /** A string, at its opening quote. */
  string(): string {
    if (this.peek() !== QUOTE) throw this.unexpected('a string');
    const start = this.at;
    const hash = this.passString();
    if (hash === NOT_PLAIN) return this.parse(start, this.at) as string;
    return known(this.bytes, start + 1, this.at - 1, hash);
  }

  /** The bytes that a string stands for. A view of the text where nothing in it is escaped. */
  stringBytes(): Buffer {
    if (this.peek() !== QUOTE) throw this.unexpected('a string');
    const start = this.at;
    this.passString();
    const inner = this.bytes.subarray(start + 1, this.at - 1);
    if (!inner.includes(BACKSLASH)) return inner;
    return Buffer.from(this.parse(start, this.at) as string, 'utf8');
  }

  /** Any value, as JSON.parse gives it. */
  value(): unknown {
    if (this.peek() === QUOTE) return this.string();
    const start = this.at;
    this.skip();
    return this.parse(start, this.at);
  }

  /** Passes over a value of any kind, checking that it is one. */
  skip(depth = 0): void {
    const byte = this.peek();
    if (byte === QUOTE) this.passString();
    else if (byte === 0x7b || byte === 0x5b) this.skipNested(byte, depth);
    else if (startsNumber(byte)) passNumber(this);
    else if (!this.word('true') && !this.word('false') && !this.word('null')) throw this.unexpected('a value');
  }

  private skipNested(open: number, depth: number): void {
    if (depth >= MAX_DEPTH) throw this.problem(`nested more than ${MAX_DEPTH} deep`);
    const close = open + 2;
    this.at++;
    if (this.accept(close)) return;
    for (;;) {
      if (open === 0x7b) {
        if (this.peek() !== QUOTE) throw this.unexpected('a string');
        this.passString();
        this.expect(0x3a);
      }
      this.skip(depth + 1);
      if (this.accept(close)) return;
      if (!this.accept(0x2c)) throw this.unexpected(`"," or "${String.fromCharCode(close)}"`);
    }
  }

  /** Passes over this word if it is next: true, false, null, or one that JSON does not know. */
  word(text: string): boolean {
    const { bytes } = this;
    const start = this.at;
    const stop = start + text.length;
    if (stop > this.end) return false;
    for (let at = start; at < stop; at++) if (bytes[at] !== text.charCodeAt(at - start)) return false;
    const after = stop < this.end ? (bytes[stop] as number) : SPACE;
    // a letter, a digit or an underscore would make it another word
    if ((after >= 0x61 && after <= 0x7a) || (after >= 0x41 && after <= 0x5a) || after === 0x5f) return false;
    if (after >= ZERO && after <= NINE) return false;
    this.at = stop;
    return true;
  }

  /** Passes over a string; a hash of its bytes, or NOT_PLAIN when its text is not its bytes: not ASCII, or escaped. */
  private passString(): number {
    const { bytes, end } = this;
    let hash = 0;
    for (let at = this.at + 1; at < end; at++) {
      const byte = bytes[at] as number;
      if (byte === QUOTE) {
        this.at = at + 1;
        return hash;
      }
      if (byte === BACKSLASH) {
        hash = NOT_PLAIN;
        at++;
      } else if (byte < SPACE) {
        this.at = at;
        throw this.problem('a control character in a string');
      } else if (byte > 0x7f) hash = NOT_PLAIN;
      else if (hash !== NOT_PLAIN) hash = (Math.imul(hash, 31) + byte) & 0xfffffff;
    }
    this.at = end;
    throw this.problem('a string is not closed');
  }

  private parse(start: number, end: number): unknown {
    try {
      return JSON.parse(this.bytes.toString('utf8', start, end));
    } catch {
      // only an escape can be wrong in what was passed over
      this.at = start;
      throw this.problem('an escape that JSON does not know');
    }
  }

  /** The error that something else stands here. */
  unexpected(wanted: string): AppError {
    this.peek();
    if (this.at >= this.end) return this.problem(`it ends where ${wanted} was expected`);
    const found = JSON.stringify(this.bytes.toString('utf8', this.at, Math.min(this.end, this.at + 12)));
    return this.problem(`${found} where ${wanted} was expected`);
  }

  problem(what: string): AppError {
    return new AppError('invalid', `the body is not JSON: ${what}, at byte ${this.at}`, { details: { byte: this.at } });
  }
}

/** Calls `member` at the value of each member of an object; it must read the value, or skip it. */
export function eachMember(json: JsonScanner, member: (key: string) => void): void {
  json.expect(0x7b);
  if (json.accept(0x7d)) return;
  do {
    const key = json.string();
    json.expect(0x3a);
    member(key);
  } while (json.accept(0x2c));
  json.expect(0x7d);
}
