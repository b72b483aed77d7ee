import { describe, expect, it } from 'vitest';
import { Budget, recordBytes } from './budget.js';

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
