import { expect, it } from 'vitest';
import { RunPlace } from './run-place.js';

/** Whether runs of these times, all of so many elements, leave the thread afterwards. */
function after(place: RunPlace, times: readonly number[], elements = 10): boolean {
  for (const ms of times) place.ran(elements, ms);
  return place.leaves(elements);
}

const many = (ms: number, count: number) => new Array<number>(count).fill(ms);

it('sends the first run away, and keeps the next when it was quick', () => {
  const place = new RunPlace(1);
  expect(place.leaves(10)).toBe(true);
  expect(after(place, [0.05])).toBe(false);
});

it('keeps a quick model, whatever else the machine does', () => {
  const place = new RunPlace(1);
  expect(after(place, [0.1, 30, ...many(0.1, 20), 30, ...many(1.9, 500)])).toBe(false);
});

it.each([
  ['one of 3 ms', 3, 50],
  ['one of 12 ms', 12, 5],
  ['one of a second', 1000, 1],
])('sends away %s after a few runs, and back when it is quick again', (_what, ms, runs) => {
  const place = new RunPlace(1);
  place.ran(10, 0.1);
  expect(after(place, many(ms, runs - 1))).toBe(false);
  expect(after(place, [ms])).toBe(true);
  expect(after(place, [0.1])).toBe(true);
  expect(after(place, many(0.1, 30))).toBe(false);
});

it('never runs here what was never quick', () => {
  expect(after(new RunPlace(1), many(50, 3))).toBe(true);
});

it('does not expect a much larger request to be quick', () => {
  const place = new RunPlace(1);
  expect(after(place, [0.1], 100)).toBe(false);
  expect(place.leaves(400)).toBe(false);
  expect(place.leaves(401)).toBe(true);
  place.ran(401, 0.2);
  expect(place.leaves(401)).toBe(false);
  // one that turned out slow is sent away the next time, too
  place.ran(5000, 20);
  expect(place.leaves(5000)).toBe(true);
  expect(place.leaves(100)).toBe(false);
});

it('with several instances sends away all but the quickest', () => {
  expect(after(new RunPlace(2), many(0.02, 10))).toBe(false);
  expect(after(new RunPlace(2), many(0.5, 10))).toBe(true);
});
