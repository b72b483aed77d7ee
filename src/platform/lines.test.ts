import { describe, expect, it } from 'vitest';
import { LineSplitter, MAX_LINE_BYTES } from './lines.js';

function split(...chunks: (string | Buffer)[]): string[] {
  const splitter = new LineSplitter();
  return [...chunks.flatMap((chunk) => splitter.push(Buffer.from(chunk))), ...splitter.flush()];
}

describe('lines of an output stream', () => {
  it.each([
    [['a\nb\n'], ['a', 'b']],
    [['a\r\nb\r\n'], ['a', 'b']],
    [
      ['a\r', '\nb'],
      ['a', 'b'],
    ],
    [
      ['a\r', 'b\r', 'c\n'],
      ['a', 'b', 'c'],
    ],
    [['\r 0%\r 50%\r100%\n'], [' 0%', ' 50%', '100%']],
    [['a\n\nb'], ['a', '', 'b']],
    [['a\r\n\r\nb'], ['a', '', 'b']],
    [['a\r\n\nb'], ['a', '', 'b']],
    [
      ['a\n\r', '\nb'],
      ['a', '', 'b'],
    ],
    [['a', 'b', 'c'], ['abc']],
    [[''], []],
  ])('splits %j', (chunks, lines) => {
    expect(split(...chunks)).toEqual(lines);
  });

  it('joins characters that chunks cut, and replaces what is no UTF-8', () => {
    const bytes = Buffer.from('grün €\n');
    expect(split(...Array.from(bytes, (byte) => Buffer.from([byte])))).toEqual(['grün €']);
    expect(split(Buffer.from([97, 0xff, 98, 0, 10]))).toEqual(['a\uFFFDb\uFFFD']);
  });

  it('cuts long lines between characters and says so', () => {
    const [line, next, ...rest] = split('x', '€'.repeat(MAX_LINE_BYTES), '\nnext\n');
    expect(line).toBe(`x${'€'.repeat(Math.floor((MAX_LINE_BYTES - 1) / 3))} … [line cut at 64 KiB]`);
    expect(next).toBe('next');
    expect(rest).toEqual([]);
  });

  it('keeps an exact line of the largest size whole, also byte by byte', () => {
    const text = 'y'.repeat(MAX_LINE_BYTES);
    expect(split(`${text}\n`)).toEqual([text]);
    expect(split(...Array.from(text), '\n')).toEqual([text]);
  });
});
