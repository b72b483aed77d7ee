import { describe, expect, it } from 'vitest';
import { seeded } from '../../../../tests/support/random.js';
import { compilePattern, MAX_TEXT } from './pattern.js';

describe('patterns', () => {
  it.each([
    ['abc', 'abc', true],
    ['abc', 'xabcx', false],
    ['^abc$', 'abc', true],
    ['a\\$', 'a$', true],
    ['a\\\\$', 'a\\', true],
    ['(?i)Team-[a-c]+', 'tEAM-ABC', true],
    ['(?i)[^a]', 'A', false],
    ['[^]a]', ']', false],
    ['[]a]+', ']a', true],
    ['[a-]', '-', true],
    ['[\\d.]+', '1.5', true],
    ['\\w+@\\w+\\.com', 'ann@example.com', true],
    ['v\\d{2,3}', 'v1', false],
    ['v\\d{2,3}', 'v123', true],
    ['v\\d{2,}', 'v12345', true],
    ['a{x}', 'a{x}', true],
    ['(a|b|)c', 'c', true],
    ['(a*)*b', 'aaab', true],
    ['(?:ab)+?', 'abab', true],
    ['', '', true],
    ['.', '\n', false],
    ['\\S+', 'a b', false],
  ])('%s on %j: %s', (pattern, text, matches) => {
    expect(compilePattern(pattern).test(text)).toBe(matches);
  });

  it.each([
    ['(', 'a "(" is not closed'],
    ['a)', 'a ")" closes nothing'],
    ['[a', 'has no "]"'],
    ['[b-a]', 'does not run upwards'],
    ['*a', 'repeats nothing'],
    ['a**', 'repeats a repetition'],
    ['a{2}{3}', 'repeats a repetition'],
    ['a{3,2}', 'at most the second'],
    ['a{1001}', 'at most 1000'],
    ['(a)\\1', '"\\1" is not supported'],
    ['(?=a)', 'is not supported'],
    ['(?<!a)b', 'is not supported'],
    ['a^b', 'may stand only at the end'],
    ['\\bword', 'is not supported'],
    ['a\\', 'ends with a backslash'],
    ['((a{100}){100}){100}', 'more than 1000 states'],
    ['x'.repeat(257), 'at most 256'],
  ])('refuses %s', (pattern, message) => {
    expect(() => compilePattern(pattern)).toThrow(message);
  });

  it('is not held up by what holds up engines that try one way after the other', () => {
    for (const pattern of [
      '(a+)+b',
      '(a|a)*b',
      '(a|aa)+b',
      `${'.*'.repeat(60)}b`,
      '(((){1000}){1000}){1000}b',
      '((a?){30}a{30})*b',
    ])
      expect(compilePattern(pattern).test('a'.repeat(MAX_TEXT))).toBe(false);
  });

  it('looks at a bounded part of a value', () => {
    expect(compilePattern('a*').test(`${'a'.repeat(MAX_TEXT)}b`)).toBe(true);
  });

  it("agrees with JavaScript's engine", () => {
    const random = seeded(7);
    const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)] as T;
    const atom = (depth: number): string =>
      depth > 0 && random() < 0.4
        ? `${pick(['(', '(?:'])}${expression(depth - 1)})`
        : pick(['a', 'b', 'c', '.', '[ab]', '[^a]', '\\w', '\\d', '[b-c]', '\\.']);
    const expression = (depth: number): string =>
      Array.from({ length: 1 + Math.floor(random() * 3) }, () =>
        Array.from(
          { length: Math.floor(random() * 4) },
          () => atom(depth) + pick(['', '', '*', '+', '?', '{0,2}', '{2}', '*?']),
        ).join(''),
      ).join('|');
    for (let round = 0; round < 3000; round++) {
      const source = expression(2);
      if (source.length > 256) continue;
      const theirs = new RegExp(`^(?:${source})$`);
      const ours = compilePattern(source);
      for (let at = 0; at < 5; at++) {
        const text = Array.from({ length: Math.floor(random() * 7) }, () => pick(['a', 'b', 'c', '1', '.'])).join('');
        expect(ours.test(text), `${source} on "${text}"`).toBe(theirs.test(text));
      }
    }
  });
});
