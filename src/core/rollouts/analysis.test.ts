import { describe, expect, it } from 'vitest';
import { seeded } from '../../../tests/support/random.js';
import {
  type AnalysisPlan,
  type ArmStats,
  addStats,
  analysisSchema,
  compareArms,
  LATENCY_BOUNDS_MS,
  latencyBucket,
  logGamma,
  NO_STATS,
  quantile,
  rateInterval,
  slowBound,
} from './analysis.js';

const plan: AnalysisPlan = analysisSchema.parse({});

/** Requests of which so many failed; `slow` of them took 100 ms, the rest 5 ms. */
function arm(requests: number, errors = 0, slow = 0): ArmStats {
  const latency = new Array<number>(LATENCY_BOUNDS_MS.length + 1).fill(0);
  latency[latencyBucket(5)] = requests - slow;
  latency[latencyBucket(100)] = slow;
  return { requests, errors, latency };
}

describe('logGamma', () => {
  it.each([
    { x: 0.5, is: Math.log(Math.sqrt(Math.PI)) },
    { x: 1, is: 0 },
    { x: 2, is: 0 },
    { x: 5, is: Math.log(24) },
    { x: 0.1, is: 2.252712651734206 },
    { x: 100.5, is: 361.4355404677776 },
    { x: 1e6, is: 12815504.569147611 },
  ])('$x', ({ x, is }) => {
    expect(logGamma(x)).toBeCloseTo(is, x > 1e5 ? 6 : 10);
  });
});

describe('rateInterval', () => {
  /** The mixture likelihood ratio written down directly, by a sum over the steps of the posterior predictive. */
  function against(hits: number, total: number, p: number): number {
    let log = 0;
    for (let hit = 0; hit < hits; hit++) log += Math.log((0.5 + hit) / (4.5 + hit)) - Math.log(p);
    for (let miss = 0; miss < total - hits; miss++) {
      log += Math.log((4 + miss) / (4.5 + hits + miss)) - Math.log1p(-p);
    }
    return log;
  }

  it('is the set of rates that the data do not speak against, as a scan of all rates finds it', () => {
    for (const [hits, total] of [
      [0, 1],
      [1, 1],
      [0, 50],
      [3, 50],
      [25, 50],
      [50, 50],
      [7, 1000],
      [400, 1000],
    ] as const) {
      for (const alpha of [0.2, 0.05, 0.0125]) {
        const { low, high } = rateInterval(hits, total, alpha);
        for (let p = 0.0005; p < 1; p += 0.0005) {
          // next to the ends the scan and the search may round to different sides
          if (Math.abs(p - low) < 1e-9 || Math.abs(p - high) < 1e-9) continue;
          const inside = against(hits, total, p) < Math.log(1 / alpha);
          expect(p >= low && p <= high, `${p} after ${hits} of ${total} at ${alpha}`).toBe(inside);
        }
      }
    }
  });

  it.each([
    { why: 'nothing seen says nothing', hits: 0, total: 0, low: 0, high: 1 },
    { why: 'no hit leaves zero possible', hits: 0, total: 1000, low: 0 },
    { why: 'no miss leaves one possible', hits: 1000, total: 1000, high: 1 },
  ])('$why', ({ hits, total, low, high }) => {
    const interval = rateInterval(hits, total, 0.05);
    if (low !== undefined) expect(interval.low).toBe(low);
    if (high !== undefined) expect(interval.high).toBe(high);
    expect(interval.low).toBeLessThanOrEqual(hits / Math.max(1, total));
    expect(interval.high).toBeGreaterThanOrEqual(hits / Math.max(1, total));
  });

  it('narrows with more data of the same share, and widens with more confidence', () => {
    let width = 1;
    for (const total of [100, 1000, 10_000, 1_000_000, 100_000_000]) {
      const { low, high } = rateInterval(total / 50, total, 0.05);
      expect(high - low).toBeLessThan(width);
      width = high - low;
      const wider = rateInterval(total / 50, total, 0.001);
      expect(wider.low).toBeLessThanOrEqual(low);
      expect(wider.high).toBeGreaterThanOrEqual(high);
    }
    expect(width).toBeLessThan(2e-4);
  });

  it('moves up with every hit', () => {
    let before = rateInterval(0, 200, 0.05);
    for (let hits = 1; hits <= 200; hits++) {
      const now = rateInterval(hits, 200, 0.05);
      expect(now.low).toBeGreaterThanOrEqual(before.low);
      expect(now.high).toBeGreaterThanOrEqual(before.high);
      before = now;
    }
  });

  it.each([0.001, 0.02, 0.1, 0.5, 0.95])('holds the true rate %f at every one of 3000 looks', (rate) => {
    const random = seeded(Math.round(rate * 1e4) + 1);
    const alpha = 0.1;
    const runs = 400;
    let missed = 0;
    for (let run = 0; run < runs; run++) {
      let hits = 0;
      let out = false;
      for (let total = 1; total <= 3000 && !out; total++) {
        if (random() < rate) hits++;
        // looks at each of the first, then less often: a subset of the looks can only miss less, so not too few
        if (total > 60 && total % 7 !== 0) continue;
        const { low, high } = rateInterval(hits, total, alpha);
        out = rate < low || rate > high;
      }
      if (out) missed++;
    }
    // three standard deviations of chance above alpha
    expect(missed / runs).toBeLessThan(alpha + 3 * Math.sqrt((alpha * (1 - alpha)) / runs));
  });
});

describe('compareArms', () => {
  it.each([
    { why: 'nothing seen', stable: NO_STATS, candidate: NO_STATS, is: 'unclear' },
    { why: 'too few to tell', stable: arm(20), candidate: arm(20), is: 'unclear' },
    { why: 'enough and equal', stable: arm(2000, 4), candidate: arm(1000, 2), is: 'not_worse' },
    { why: 'a candidate that only fails', stable: arm(1000), candidate: arm(20, 20), is: 'worse' },
    { why: 'ten percent of failures', stable: arm(2000), candidate: arm(300, 30), is: 'worse' },
    { why: 'within the margin', stable: arm(20_000, 20), candidate: arm(20_000, 60), is: 'not_worse' },
    { why: 'a stable that fails just as much', stable: arm(2000, 400), candidate: arm(2000, 400), is: 'unclear' },
    { why: 'both fail, with much data', stable: arm(80_000, 16_000), candidate: arm(80_000, 16_000), is: 'not_worse' },
    { why: 'a much slower candidate', stable: arm(2000, 0, 40), candidate: arm(500, 0, 250), is: 'worse' },
    { why: 'a better candidate', stable: arm(2000, 400), candidate: arm(1000, 0), is: 'not_worse' },
    { why: 'below the margin itself, whatever stable does', stable: NO_STATS, candidate: arm(5000), is: 'not_worse' },
    { why: 'above it, with nothing to compare', stable: NO_STATS, candidate: arm(5000, 250), is: 'unclear' },
  ])('$why: $is', ({ stable, candidate, is }) => {
    expect(compareArms(stable, candidate, plan, 12).kind).toBe(is);
  });

  it('cannot clear a candidate as long as nobody knows what is slow', () => {
    expect(compareArms(arm(9000), arm(9000), plan, undefined).kind).toBe('unclear');
    expect(compareArms(arm(9000), arm(900, 900), plan, undefined).kind).toBe('worse');
  });

  it('says the numbers that decided', () => {
    const { reason } = compareArms(arm(1000), arm(100, 50), plan, 12);
    expect(reason).toContain('50 of 100');
    expect(reason).toContain('0 of 1000');
    expect(reason).toContain('2 %');
  });

  it('rolls an equal candidate back in at most alpha of all rollouts, however often it looks', () => {
    const random = seeded(77);
    // no allowed increase at all: the hardest case, where equal is the border
    const strict = { ...plan, maxErrorIncrease: 0, maxSlowIncrease: 0, alpha: 0.2 };
    const runs = 250;
    let alarms = 0;
    for (let run = 0; run < runs; run++) {
      const seen = [
        [0, 0, 0],
        [0, 0, 0],
      ];
      for (let look = 0; look < 400; look++) {
        for (const counts of seen) {
          for (let request = 0; request < 5; request++) {
            counts[0] = (counts[0] ?? 0) + 1;
            if (random() < 0.03) counts[1] = (counts[1] ?? 0) + 1;
            if (random() < 0.05) counts[2] = (counts[2] ?? 0) + 1;
          }
        }
        const [stable, candidate] = seen.map(([requests = 0, errors = 0, slow = 0]) => arm(requests, errors, slow));
        if (stable && candidate && compareArms(stable, candidate, strict, 12).kind === 'worse') {
          alarms++;
          break;
        }
      }
    }
    expect(alarms / runs).toBeLessThanOrEqual(strict.alpha);
  });

  it('finds a real regression within a few hundred requests', () => {
    const random = seeded(3);
    const needed: number[] = [];
    for (let run = 0; run < 50; run++) {
      let errors = 0;
      let requests = 0;
      while (requests < 5000) {
        requests++;
        if (random() < 0.2) errors++;
        if (compareArms(arm(requests * 9), arm(requests, errors), plan, 12).kind === 'worse') break;
      }
      needed.push(requests);
    }
    expect(needed.sort((a, b) => a - b)[25]).toBeLessThan(100);
    expect(needed.at(-1)).toBeLessThan(500);
  });
});

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
