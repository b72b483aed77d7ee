import { describe, expect, it } from 'vitest';
import { seeded } from '../../../tests/support/random.js';
import { AppError } from '../../errors.js';
import { JsonScanner } from './scanner.js';

const scan = (text: string) => new JsonScanner(Buffer.from(text));
const whole = (text: string) => {
  const scanner = scan(text);
  const value = scanner.value();
  if (scanner.peek() !== -1) throw scanner.unexpected('the end');
  return value;
};

/** What somebody's reading of a text gives: its value, or that it is refused. */
function outcome(read: () => unknown): unknown {
  try {
    return { value: read() };
  } catch (error) {
    if (!(error instanceof AppError) && !(error instanceof SyntaxError)) throw error;
    return 'refused';
  }
}

describe('JsonScanner', () => {
  it('takes and refuses what JSON.parse does, in texts with random mistakes', () => {
    const random = seeded(3);
    const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)] as T;
    const pieces = ['{', '}', '[', ']', ',', ':', '"a"', '"\\u00e9\\n"', '"\\x"', 'true', 'null', '-', '0', '12', '.5'];
    const more = ['e3', 'E+', ' ', '\n', '\\', '"', 'é', 'NaN', '1.5e-7', '01', '""', '\t'];
    const value = (depth: number): unknown => {
      const kind = Math.floor(random() * (depth > 3 ? 4 : 6));
      if (kind === 0) return pick([true, false, null]);
      if (kind === 1) return pick([0, -1, 1.5, 1e-9, 123456789012345680000, -0.1]);
      if (kind < 4) return pick(['', 'text', 'é😀', 'a"b\\c\n', '\u2028']);
      if (kind === 4) return Array.from({ length: Math.floor(random() * 4) }, () => value(depth + 1));
      return Object.fromEntries(
        Array.from({ length: Math.floor(random() * 4) }, (_, i) => [`k${i}`, value(depth + 1)]),
      );
    };
    let refused = 0;
    for (let round = 0; round < 20_000; round++) {
      let text = JSON.stringify(value(0), null, pick([undefined, 1]));
      for (let changes = Math.floor(random() * 3); changes > 0; changes--) {
        const at = Math.floor(random() * (text.length + 1));
        text = text.slice(0, at) + pick([...pieces, ...more]) + text.slice(at + Math.floor(random() * 3));
      }
      // half a character is no text
      text = Buffer.from(text).toString();
      const ours = outcome(() => whole(text));
      if (ours === 'refused') refused++;
      expect([text, ours]).toEqual([text, outcome(() => JSON.parse(text))]);
    }
    expect(refused).toBeGreaterThan(2000);
  });

  it('gives the bytes of strings, escaped or not', () => {
    expect(scan('"é😀"').stringBytes().toString()).toBe('é😀');
    expect(scan('"\\u00e9\\"\\\\"').stringBytes().toString()).toBe('é"\\');
  });

  it.each([
    ['', 'it ends where a value was expected, at byte 0'],
    ['{"a":1', '"," or "}" was expected, at byte 6'],
    ['[1 2]', '"2]" where "," or "]" was expected, at byte 3'],
    ['"a', 'a string is not closed'],
    ['"\n"', 'a control character in a string, at byte 1'],
    ['"\\q"', 'an escape that JSON does not know, at byte 0'],
    ['01', 'a number begins with 0'],
    ['1.', 'it ends where a digit was expected'],
    ['tru', 'where a value was expected'],
    ['['.repeat(600), 'nested more than 512 deep'],
  ])('says what is wrong with %j, and where', (text, message) => {
    expect(() => whole(text)).toThrow(message);
  });
});
