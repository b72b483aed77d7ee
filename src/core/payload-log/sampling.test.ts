import { describe, expect, it } from 'vitest';
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
