/** JSON as data files hold it: whole numbers of any size keep their digits, and NaN and infinities may stand bare. */
import { passNumber, startsNumber } from '../../protocol/json/numbers.js';
import { JsonScanner } from '../../protocol/json/scanner.js';

const OPEN_ARRAY = 0x5b;
const OPEN_OBJECT = 0x7b;
const COMMA = 0x2c;
const COLON = 0x3a;
const MINUS = 0x2d;

/** Digits in a row that a double may not hold, or a word that JSON does not know. */
const UNUSUAL = /\d{16}|NaN|Infinity/;

/**
 * A text's value: as JSON.parse gives it, but for whole numbers beyond 2^53, which become bigints, and for NaN, Infinity and
 * -Infinity, which Python's writer prints. Throws `invalid` saying what is wrong, and where.
 */
export function parseExactJson(text: string): unknown {
  if (!UNUSUAL.test(text)) {
    try {
      return JSON.parse(text);
    } catch {
      // the scanner says better what is wrong
    }
  }
  const scanner = new JsonScanner(Buffer.from(text, 'utf8'));
  const value = readValue(scanner, 0);
  if (scanner.peek() !== -1) throw scanner.unexpected('the end');
  return value;
}

const MAX_DEPTH = 64;

function readValue(scanner: JsonScanner, depth: number): unknown {
  const byte = scanner.peek();
  if (depth > MAX_DEPTH) throw scanner.problem(`nested more than ${MAX_DEPTH} deep`);
  if (byte === OPEN_ARRAY) return readArray(scanner, depth);
  if (byte === OPEN_OBJECT) return readObject(scanner, depth);
  if (scanner.word('NaN')) return Number.NaN;
  if (scanner.word('Infinity')) return Number.POSITIVE_INFINITY;
  if (byte === MINUS && scanner.word('-Infinity')) return Number.NEGATIVE_INFINITY;
  if (startsNumber(byte)) return numberOf(passNumber(scanner));
  return scanner.value();
}

function readArray(scanner: JsonScanner, depth: number): unknown[] {
  const values: unknown[] = [];
  scanner.expect(OPEN_ARRAY);
  if (scanner.accept(OPEN_ARRAY + 2)) return values;
  do values.push(readValue(scanner, depth + 1));
  while (scanner.accept(COMMA));
  scanner.expect(OPEN_ARRAY + 2);
  return values;
}

function readObject(scanner: JsonScanner, depth: number): Record<string, unknown> {
  // a member may be called __proto__
  const members: Record<string, unknown> = Object.create(null);
  scanner.expect(OPEN_OBJECT);
  if (scanner.accept(OPEN_OBJECT + 2)) return members;
  do {
    const name = scanner.string();
    scanner.expect(COLON);
    members[name] = readValue(scanner, depth + 1);
  } while (scanner.accept(COMMA));
  scanner.expect(OPEN_OBJECT + 2);
  return members;
}

function numberOf(text: string): number | bigint {
  const value = Number(text);
  return Number.isSafeInteger(value) || !/^-?\d+$/.test(text) ? value : BigInt(text);
}
