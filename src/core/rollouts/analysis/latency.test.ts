import { describe, expect, it } from 'vitest';
import { seeded } from '../../../../tests/support/random.js';
import { type ArmStats, addStats, LATENCY_BOUNDS_MS, latencyBucket, NO_STATS, quantile, slowBound } from './latency.js';

/** Requests of which so many failed; `slow` of them took 100 ms, the rest 5 ms. */
function arm(requests: number, errors = 0, slow = 0): ArmStats {
  const latency = new Array<number>(LATENCY_BOUNDS_MS.length + 1).fill(0);
  latency[latencyBucket(5)] = requests - slow;
  latency[latencyBucket(100)] = slow;
  return { requests, errors, latency };
}

describe('latency', () => {
  it('buckets: every bound belongs to its own bucket, a hair more to the next', () => {
    LATENCY_BOUNDS_MS.forEach((bound, at) => {
      expect(latencyBucket(bound)).toBe(at);
      expect(latencyBucket(bound * 1.0000001)).toBe(at + 1);
    });
    expect(latencyBucket(0)).toBe(0);
    expect(latencyBucket(-1)).toBe(0);
    expect(latencyBucket(1e9)).toBe(LATENCY_BOUNDS_MS.length);
  });

  it('the buckets of a thousand random latencies are those that a linear search finds', () => {
    const random = seeded(9);
    for (let at = 0; at < 1000; at++) {
      const ms = 10 ** (random() * 6 - 1.5);
      const found = LATENCY_BOUNDS_MS.findIndex((bound) => ms <= bound);
      expect(latencyBucket(ms)).toBe(found === -1 ? LATENCY_BOUNDS_MS.length : found);
    }
  });

  it('quantiles lie within the bucket of the true one, and grow with q', () => {
    const random = seeded(4);
    const all = Array.from({ length: 5000 }, () => 10 ** (random() * 4 - 1)).sort((a, b) => a - b);
    const latency = new Array<number>(LATENCY_BOUNDS_MS.length + 1).fill(0);
    for (const ms of all) latency[latencyBucket(ms)] = (latency[latencyBucket(ms)] ?? 0) + 1;
    const stats: ArmStats = { requests: all.length, errors: 0, latency };
    let before = 0;
    for (let q = 0.01; q < 1; q += 0.01) {
      const found = quantile(stats, q);
      const truth = all[Math.ceil(q * all.length) - 1] ?? 0;
      const at = latencyBucket(truth);
      expect(found).toBeGreaterThanOrEqual((LATENCY_BOUNDS_MS[at - 1] ?? 0) - 1e-9);
      expect(found).toBeLessThanOrEqual((LATENCY_BOUNDS_MS[at] ?? Number.POSITIVE_INFINITY) + 1e-9);
      expect(found).toBeGreaterThanOrEqual(before);
      before = found;
    }
  });

  it('quantiles of nothing, of one, and beyond the last bound', () => {
    expect(quantile(NO_STATS, 0.5)).toBeNaN();
    expect(quantile(arm(1), 0.95)).toBeLessThanOrEqual(6);
    const open = { requests: 3, errors: 0, latency: [...new Array<number>(LATENCY_BOUNDS_MS.length).fill(0), 3] };
    expect(quantile(open, 0.5)).toBeGreaterThan(32_768);
  });

  it('what is slow is always a bucket bound, at least the factor times p95', () => {
    for (const ms of [0.1, 1, 5, 40, 1000, 40_000]) {
      const latency = new Array<number>(LATENCY_BOUNDS_MS.length + 1).fill(0);
      latency[latencyBucket(ms)] = 100;
      const stats = { requests: 100, errors: 0, latency };
      const bound = slowBound(stats, 2);
      expect(LATENCY_BOUNDS_MS).toContain(bound);
      if (ms < 10_000) expect(bound).toBeGreaterThanOrEqual(quantile(stats, 0.95) * 2);
    }
  });

  it('sums windows, also those that know fewer buckets', () => {
    const sum = addStats([arm(3, 1, 1), NO_STATS, arm(4, 0, 2)]);
    expect(sum).toMatchObject({ requests: 7, errors: 1 });
    expect(sum.latency.reduce((total, count) => total + count, 0)).toBe(7);
  });
});
