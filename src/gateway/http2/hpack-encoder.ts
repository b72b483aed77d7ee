/**
 * Writing header blocks: names of the static table by their index, everything else as literals that enter no table
 * (RFC 7541, section 6.2.2). So an encoded block is the same on every connection and may be kept and sent again.
 */
import { STATIC_TABLE } from './header-field.js';

/** One block of these fields, in their order. Names in lower case; characters beyond latin1 are not for headers. */
export function encodeHeaders(fields: Iterable<readonly [name: string, value: string]>): Buffer {
  const parts: Buffer[] = [];
  for (const [name, value] of fields) parts.push(encodeField(name, value));
  return parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts);
}

/** Numbers of the fields that are in the static table as they are. */
const WHOLE = new Map(STATIC_TABLE.map(({ name, value }, at) => [`${name}\n${value}`, at + 1]));
/** The first number of each name. */
const NAMES = new Map([...STATIC_TABLE].reverse().map(({ name }, at) => [name, STATIC_TABLE.length - at]));

function encodeField(name: string, value: string): Buffer {
  const whole = WHOLE.get(`${name}\n${value}`);
  if (whole !== undefined && value !== '') return Buffer.of(0x80 | whole);
  const index = NAMES.get(name) ?? 0;
  // three numbers of at most five bytes each
  const field = Buffer.allocUnsafe(15 + (index === 0 ? name.length : 0) + value.length);
  let at = writeNumber(field, 0, 0x0f, index);
  if (index === 0) at = writeText(field, at, name);
  return field.subarray(0, writeText(field, at, value));
}

function writeText(to: Buffer, start: number, text: string): number {
  const at = writeNumber(to, start, 0x7f, text.length);
  return at + to.write(text, at, 'latin1');
}

/** An integer under `mask` of its first byte, whose other bits are 0 (section 5.1). */
function writeNumber(to: Buffer, start: number, mask: number, value: number): number {
  if (value < mask) {
    to[start] = value;
    return start + 1;
  }
  to[start] = mask;
  let at = start + 1;
  let rest = value - mask;
  for (; rest >= 128; rest >>>= 7) to[at++] = (rest & 0x7f) | 0x80;
  to[at++] = rest;
  return at;
}
