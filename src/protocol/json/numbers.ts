/** Numbers of JSON texts, which are where the bytes of large bodies are spent. */
import type { JsonScanner } from './scanner.js';

const COMMA = 0x2c;
const MINUS = 0x2d;
const PLUS = 0x2b;
const POINT = 0x2e;
const ZERO = 0x30;
const NINE = 0x39;
const SPACE = 0x20;
/** The bit that tells a small letter from its capital. */
const LOWER = 0x20;
const LOWER_E = 0x65;

/** Digits that fit 31 bits, whatever they are. */
const HALF = 9;
/** Digits that fit a double exactly, whatever they are. */
const EXACT_DIGITS = 15;
/** Powers of ten as doubles; those up to 10^22 are exact. */
const POWERS = Float64Array.from({ length: 309 }, (_, exponent) => Number(`1e${exponent}`));
const EXACT_POWER = 22;
/** Generous bound on the relative error of a number made of its first 18 digits and scaled once. */
const SLACK = 2 ** -48;

/**
 * Reads numbers separated by commas into `out`, at most `most`, and stops behind the last. Each is what JSON.parse gives;
 * with `single`, what that is once it is stored in single precision, which takes less time where there are many digits.
 * It stops early at what is no number, or too large for a double; 0 when that is what comes first.
 *
 * The first 18 digits are kept in whole-number arithmetic, in two halves. Up to 15 of them and a small power of ten make
 * the number in one exact step (Clinger, "How to read floating point numbers accurately", 1990). With more, all that the
 * number may be often rounds to one single-precision value, which then is it. What is left is the engine's to read.
 */
export function readNumbers(scanner: JsonScanner, out: Float64Array, most: number, single: boolean): number {
  const { bytes, end } = scanner;
  let at = scanner.at;
  let behind = at;
  let count = 0;
  while (at < end) {
    const start = at;
    let byte = bytes[at] as number;
    const negative = byte === MINUS;
    if (negative) byte = ++at < end ? (bytes[at] as number) : 0;
    const first = at;
    let upper = 0;
    let lower = 0;
    let digits = 0;
    let exponent = 0;
    while (byte >= ZERO && byte <= NINE) {
      if (digits < HALF) upper = (upper * 10 + (byte - ZERO)) | 0;
      else if (digits < 2 * HALF) lower = (lower * 10 + (byte - ZERO)) | 0;
      else exponent++;
      digits++;
      byte = ++at < end ? (bytes[at] as number) : 0;
    }
    let valid = digits === 1 || (digits > 0 && bytes[first] !== ZERO);
    if (byte === POINT) {
      const point = at;
      byte = ++at < end ? (bytes[at] as number) : 0;
      if (upper === 0) {
        // zeros before the first other digit do not count
        digits = 0;
        while (byte === ZERO) byte = ++at < end ? (bytes[at] as number) : 0;
      }
      while (byte >= ZERO && byte <= NINE) {
        if (digits < HALF) upper = (upper * 10 + (byte - ZERO)) | 0;
        else if (digits < 2 * HALF) lower = (lower * 10 + (byte - ZERO)) | 0;
        else exponent++;
        digits++;
        byte = ++at < end ? (bytes[at] as number) : 0;
      }
      const fraction = at - point - 1;
      exponent -= fraction;
      valid = valid && fraction > 0;
    }
    if ((byte | LOWER) === LOWER_E) {
      byte = ++at < end ? (bytes[at] as number) : 0;
      const minus = byte === MINUS;
      if (minus || byte === PLUS) byte = ++at < end ? (bytes[at] as number) : 0;
      const from = at;
      let power = 0;
      while (byte >= ZERO && byte <= NINE) {
        if (power < 100_000) power = (power * 10 + (byte - ZERO)) | 0;
        byte = ++at < end ? (bytes[at] as number) : 0;
      }
      exponent += minus ? -power : power;
      valid = valid && at > from;
    }
    if (!valid) {
      if (!startsHere(scanner, start)) break;
      // throws what is wrong with it
      passNumber(scanner);
      break;
    }
    let value = digits <= HALF ? upper : upper * (POWERS[Math.min(digits, 2 * HALF) - HALF] as number) + lower;
    if (digits <= EXACT_DIGITS && exponent <= 0 && exponent >= -EXACT_POWER) {
      if (exponent !== 0) value /= POWERS[-exponent] as number;
    } else {
      value = scaled(value, exponent);
      const exact = digits <= EXACT_DIGITS && exponent > 0 && exponent <= EXACT_POWER;
      if (!exact && !(single && isCertain(value))) value = Number(bytes.toString('latin1', first, at));
      // Infinity - Infinity is NaN
      if (value - value !== 0 || (single && Math.fround(value) - Math.fround(value) !== 0)) break;
    }
    out[count++] = negative ? -value : value;
    behind = at;
    if (byte !== COMMA || count >= most) break;
    // as Python writes it: with one space
    if (++at < end && bytes[at] === SPACE) at++;
  }
  scanner.at = behind;
  return count;
}

/** Whether what is here begins like a number, after white space that is passed over. */
function startsHere(scanner: JsonScanner, at: number): boolean {
  scanner.at = at;
  return startsNumber(scanner.peek());
}

/** Whether a number begins with this byte. */
export function startsNumber(byte: number): boolean {
  return (byte >= ZERO && byte <= NINE) || byte === MINUS;
}

/** Passes over a number, checking that it is one, and gives its text. */
export function passNumber(scanner: JsonScanner): string {
  const { bytes, end } = scanner;
  const start = scanner.at;
  const digits = () => {
    const from = scanner.at;
    while (scanner.at < end && isDigit(bytes[scanner.at])) scanner.at++;
    if (scanner.at === from) throw scanner.unexpected('a digit');
  };
  if (bytes[start] === MINUS) scanner.at++;
  const zero = bytes[scanner.at] === ZERO;
  digits();
  if (zero && isDigit(bytes[scanner.at - 1]) && scanner.at - start > (bytes[start] === MINUS ? 2 : 1))
    throw scanner.problem('a number begins with 0');
  if (scanner.at < end && bytes[scanner.at] === POINT) {
    scanner.at++;
    digits();
  }
  if (scanner.at < end && ((bytes[scanner.at] as number) | LOWER) === LOWER_E) {
    scanner.at++;
    if (bytes[scanner.at] === MINUS || bytes[scanner.at] === PLUS) scanner.at++;
    digits();
  }
  return bytes.toString('latin1', start, scanner.at);
}

function isDigit(byte: number | undefined): boolean {
  return byte !== undefined && byte >= ZERO && byte <= NINE;
}

/** Whether all that an inexact value may stand for rounds to one single-precision number. */
function isCertain(value: number): boolean {
  const around = value * SLACK;
  return Math.fround(value - around) === Math.fround(value + around);
}

function scaled(mantissa: number, exponent: number): number {
  if (exponent >= 0) {
    if (mantissa === 0) return 0;
    return exponent > 308 ? Number.POSITIVE_INFINITY : mantissa * (POWERS[exponent] as number);
  }
  if (exponent >= -308) return mantissa / (POWERS[-exponent] as number);
  return exponent < -700 ? 0 : mantissa / 1e308 / (POWERS[Math.min(308, -exponent - 308)] as number);
}
