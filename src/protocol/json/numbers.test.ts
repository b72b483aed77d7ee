import { describe, expect, it } from 'vitest';
import { seeded } from '../../../tests/support/random.js';
import { readNumbers } from './numbers.js';
import { JsonScanner } from './scanner.js';

const random = seeded(5);
const digits = (most: number) =>
  Array.from({ length: Math.floor(random() * most) }, () => Math.floor(random() * 10)).join('');
const bits = new DataView(new ArrayBuffer(8));

/** A number of any form; sometimes one that lies half-way between two single-precision numbers, or just beside that. */
function randomNumber(): string {
  if (random() < 0.2) {
    bits.setUint32(0, random() * 2 ** 32);
    bits.setUint32(4, random() * 2 ** 32);
    const single = Math.fround(bits.getFloat64(0));
    const half = (single + Math.fround(single * (1 + 2 ** -23))) / 2;
    if (Number.isFinite(half)) return half.toPrecision(1 + Math.floor(random() * 21));
  }
  let text = `${random() < 0.5 ? '-' : ''}${BigInt(digits(random() < 0.5 ? 3 : 25))}`;
  if (random() < 0.7) text += `.${random() < 0.3 ? '0000000' : ''}${digits(25)}0`;
  if (random() < 0.4) text += `${random() < 0.5 ? 'e' : 'E'}${['-', '+', ''][Math.floor(random() * 3)]}${digits(3)}0`;
  return text;
}

/** Reads `[…]` from its first element; whoever walks over the array would take over at each comma. */
function read(text: string, single: boolean): number[] {
  const scanner = new JsonScanner(Buffer.from(text), 1);
  const scratch = new Float64Array(8);
  const out: number[] = [];
  for (;;) {
    scanner.peek();
    const count = readNumbers(scanner, scratch, scratch.length, single);
    out.push(...scratch.subarray(0, count));
    if (count === 0 || !scanner.accept(0x2c)) return out;
  }
}

describe('readNumbers', () => {
  it('gives what JSON.parse gives, in double and in single precision', () => {
    for (let round = 0; round < 20_000; round++) {
      const texts = Array.from({ length: 1 + Math.floor(random() * 12) }, randomNumber);
      const text = `[${texts.join([',', ', ', ' ,\n '][Math.floor(random() * 3)])}]`;
      const parsed = JSON.parse(text) as number[];
      const end = parsed.findIndex((value) => !Number.isFinite(value));
      expect([text, read(text, false)]).toEqual([text, end === -1 ? parsed : parsed.slice(0, end)]);
      const singles = parsed.map(Math.fround);
      const singleEnd = singles.findIndex((value) => !Number.isFinite(value));
      const wanted = singleEnd === -1 ? singles : singles.slice(0, singleEnd);
      expect([text, read(text, true).map(Math.fround)]).toEqual([text, wanted]);
    }
  });

  it.each(['[1,null]', '[1 , "2"]', '[1,[2]]', '[1,]', '[1'])('leaves what is no number to others: %s', (text) => {
    const scanner = new JsonScanner(Buffer.from(text), 1);
    expect(readNumbers(scanner, new Float64Array(4), 4, true)).toBe(1);
    expect(scanner.at).toBe(2);
  });

  it.each(['01', '1.', '1.e5', '.5', '-', '-x', '1e', '1e+', '+1', '00.5', '1.5.5', '--1'])('refuses %s', (text) => {
    const scanner = new JsonScanner(Buffer.from(text));
    const run = () => {
      const count = readNumbers(scanner, new Float64Array(4), 4, true);
      // what is behind a number is for others to refuse
      if (count === 0 || scanner.at < text.length) throw scanner.unexpected('the end');
    };
    expect(run).toThrow('not JSON');
  });
});
