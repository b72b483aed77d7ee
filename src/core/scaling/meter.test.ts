import { describe, expect, it } from 'vitest';
import { ConcurrencyMeter } from './meter.js';

function drained(meter: ConcurrencyMeter, nowMs: number): [number, number][] {
  const seconds: [number, number][] = [];
  meter.drain(nowMs, (atMs, concurrency) => seconds.push([atMs, concurrency]));
  return seconds;
}

describe('ConcurrencyMeter', () => {
  it('weighs a request by its share of the second', () => {
    const meter = new ConcurrencyMeter(0);
    meter.change(100, 1);
    meter.change(200, 1);
    meter.change(600, -1);
    meter.change(1250, -1);
    expect(drained(meter, 2000)).toEqual([
      [0, 1.3],
      [1000, 0.25],
    ]);
  });

  it('gives each finished second once, and idle ones too', () => {
    const meter = new ConcurrencyMeter(0);
    meter.change(0, 2);
    expect(drained(meter, 3999)).toEqual([
      [0, 2],
      [1000, 2],
      [2000, 2],
    ]);
    expect(drained(meter, 3999)).toEqual([]);
    meter.change(4000, -2);
    expect(drained(meter, 6000)).toEqual([
      [3000, 2],
      [4000, 0],
      [5000, 0],
    ]);
  });

  it('averages the first second over the part that it saw', () => {
    const meter = new ConcurrencyMeter(750);
    meter.change(750, 4);
    expect(drained(meter, 1000)).toEqual([[0, 4]]);
  });

  it('stands still when the clock goes back, and gives an hour at most', () => {
    const meter = new ConcurrencyMeter(5000);
    meter.change(4000, 1);
    expect(drained(meter, 6000)).toEqual([[5000, 1]]);
    expect(drained(meter, 1e8)).toHaveLength(3600);
  });

  it('says when more requests end than began', () => {
    expect(() => new ConcurrencyMeter(0).change(1, -1)).toThrow('1 requests ended where 0 were in flight');
  });
});
