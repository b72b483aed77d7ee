import { describe, expect, it } from 'vitest';
import { bar } from './progress.js';
import { styles } from './style.js';
import { facts, table } from './table.js';
import { bytes, duration, number, relativeTime } from './text.js';

const style = styles(false);
const columns = [
  { title: 'name', cell: (row: { name: string; count: number; why: string }) => row.name },
  { title: 'count', cell: (row: { count: number }) => String(row.count), right: true },
  { title: 'why', cell: (row: { why: string }) => row.why },
];

describe('table', () => {
  it('aligns text left and numbers right, without spaces at the end', () => {
    const rows = [
      { name: 'digits', count: 7, why: '' },
      { name: 'a', count: 1234, why: 'because' },
    ];
    expect(table(rows, columns, { style })).toBe('name    count  why\ndigits      7  -\na        1234  because\n');
  });

  it('cuts the last column to the terminal, and nothing elsewhere', () => {
    const rows = [{ name: 'x', count: 1, why: 'a long reason that goes on' }];
    const cut = table(rows, columns, { style, width: 25 });
    expect(cut.split('\n')[1]).toBe('x         1  a long reas…');
    expect(table(rows, columns, { style })).toContain('goes on');
  });

  it('lets no control characters through', () => {
    expect(table([{ name: 'a\u001b[31m\nb', count: 1, why: 'x' }], columns, { style })).toContain('a [31m b');
  });

  it('colours states only where colours are wanted', () => {
    const state = [{ title: 's', cell: (row: string) => row, state: true }];
    expect(table(['failed'], state, { style })).toBe('s\nfailed\n');
    expect(table(['failed'], state, { style: styles(true) })).toContain('\u001b[31mfailed\u001b[39m');
  });
});

describe('facts', () => {
  it('leaves out what has no value', () => {
    const entries = [['model', 'x'] as const, ['reason', ''] as const, ['a', undefined] as const];
    expect(facts(entries, style)).toBe('model  x\n');
  });
});

describe('text', () => {
  const now = Date.parse('2026-03-01T12:00:00Z');
  it.each([
    ['2026-03-01T11:59:48Z', '12 s ago'],
    ['2026-03-01T11:56:55Z', '3 min 5 s ago'],
    ['2026-03-01T09:56:00Z', '2 h 4 min ago'],
    ['2026-02-20T12:00:00Z', '9 d ago'],
    ['2026-03-04T12:00:00Z', 'in 3 d'],
    ['2026-03-01T12:00:00Z', 'now'],
    [null, '-'],
  ])('%s is %s', (iso, text) => expect(relativeTime(iso, now)).toBe(text));

  it('writes spans, sizes and numbers', () => {
    expect([duration(850), duration(60_000), duration(3_599_000)]).toEqual(['850 ms', '1 min', '59 min']);
    expect([bytes(0), bytes(1023), bytes(1536), bytes(20 * 2 ** 30)]).toEqual(['0 B', '1023 B', '1.5 KiB', '20 GiB']);
    expect([number(0.123456), number(3), number(null), number(Number.NaN)]).toEqual(['0.1235', '3', '-', '-']);
  });

  it('draws a bar', () => {
    const [none, half, full] = [0, 50, 100].map((done) => bar('up', done, 100, 1000));
    expect(none).toMatch(/^up \[> {24}\] {3}0 %/);
    expect(half).toMatch(/^up \[={12}> {12}\] {2}50 % {2}50 B of 100 B {2}50 B\/s/);
    expect(full).toMatch(/^up \[={25}\] 100 %/);
  });
});
