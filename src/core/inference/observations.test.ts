import { describe, expect, it } from 'vitest';
import { MAX_BUCKETS } from './observations.js';
import { addObserved, NOTHING_OBSERVED } from './observed.js';

describe('addObserved', () => {
  it.each([
    { a: NOTHING_OBSERVED, b: NOTHING_OBSERVED, is: NOTHING_OBSERVED },
    {
      a: { count: 3, sum: 1.5, buckets: [1, 2] },
      b: { count: 2, sum: 0.5, buckets: [0, 1, 1] },
      is: { count: 5, sum: 2, buckets: [1, 3, 1] },
    },
    { a: { count: 1, sum: 1, buckets: [] }, b: NOTHING_OBSERVED, is: { count: 1, sum: 1, buckets: [] } },
  ])('$a and $b', ({ a, b, is }) => {
    expect(addObserved(a, b)).toEqual(is);
    expect(addObserved(b, a)).toEqual(is);
  });

  it('has room for as many kinds as are counted apart', () => {
    expect(MAX_BUCKETS).toBeGreaterThanOrEqual(32);
  });
});
