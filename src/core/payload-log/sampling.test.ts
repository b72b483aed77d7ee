import { describe, expect, it } from 'vitest';
import { Budget, recordBytes } from './budget.js';
import { inSample } from './sampling.js';

const COUNT = 20_000;
// ids as the gateway makes them, and as clients do
const IDS = [
  ...Array.from({ length: COUNT / 2 }, (_, at) => `k3j9x0aq-${at}`),
  ...Array.from({ length: COUNT / 2 }, (_, at) => `0af76519-16cd-43dd-8448-${at.toString(16).padStart(12, '0')}`),
];

describe('a sample', () => {
  it.each([0.001, 0.01, 0.1, 0.5, 0.9])('at rate %d has its share of the requests', (rate) => {
    const share = IDS.filter((id) => inSample(id, rate)).length / COUNT;
    // five standard deviations of a fair choice
    expect(Math.abs(share - rate)).toBeLessThan(5 * Math.sqrt((rate * (1 - rate)) / COUNT));
  });

  it('has all requests at rate 1', () => {
    expect(IDS.every((id) => inSample(id, 1))).toBe(true);
  });

  it('is the same each time, and part of every larger one', () => {
    const small = IDS.filter((id) => inSample(id, 0.1));
    expect(IDS.filter((id) => inSample(id, 0.1))).toEqual(small);
    expect(small.every((id) => inSample(id, 0.2))).toBe(true);
  });
});

describe('the memory of records', () => {
  const fill = (budget: Budget, owner: string) => {
    let taken = 0;
    while (budget.take(owner, 10)) taken += 10;
    return taken;
  };

  it('is bounded, and leaves room for newcomers', () => {
    const budget = new Budget(1000);
    expect(['a', 'b', 'c'].map((owner) => fill(budget, owner))).toEqual([500, 250, 130]);
    expect(budget.bytes).toBe(880);
    expect(budget.take('d', 131)).toBe(false);
    budget.give('a', 500);
    expect(fill(budget, 'd')).toBeGreaterThan(300);
    expect(budget.bytes).toBeLessThanOrEqual(1000);
  });

  it('comes back', () => {
    const budget = new Budget(1000);
    const taken = fill(budget, 'a');
    budget.give('a', taken - 100);
    expect(budget.bytes).toBe(100);
    budget.give('a', 100);
    expect(fill(budget, 'a')).toBe(taken);
  });

  it('counts more than the body', () => {
    expect(recordBytes(0)).toBeGreaterThan(0);
    expect(recordBytes(100)).toBe(recordBytes(0) + 100);
  });
});
