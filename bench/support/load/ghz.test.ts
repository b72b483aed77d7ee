import { describe, expect, it } from 'vitest';
import { parseGhz } from './ghz.js';

const distribution = [
  { percentage: 10, latency: 1_900_000 },
  { percentage: 50, latency: 2_820_000 },
  { percentage: 99, latency: 6_400_000 },
];

describe('parseGhz', () => {
  it('counts good answers for the rate and the others as errors', () => {
    const output = {
      count: 21_000,
      total: 2_000_000_000,
      latencyDistribution: distribution,
      statusCodeDistribution: { OK: 20_900, Unavailable: 60, Canceled: 40 },
    };
    expect(parseGhz(JSON.stringify(output))).toEqual({
      requests: 21_000,
      perSecond: 10_450,
      p50Ms: 2.82,
      p99Ms: 6.4,
      errors: 100,
    });
  });

  it('has no latencies when nothing was answered', () => {
    const output = {
      count: 5,
      total: 1_000_000_000,
      latencyDistribution: null,
      statusCodeDistribution: { Unavailable: 5 },
    };
    expect(parseGhz(JSON.stringify(output))).toEqual({
      requests: 5,
      perSecond: 0,
      p50Ms: Number.NaN,
      p99Ms: Number.NaN,
      errors: 5,
    });
  });
});
