import { describe, expect, it } from 'vitest';
import { seeded } from '../../../../tests/support/random.js';
import { judge, NO_SUMS } from './judge.js';
import { type ArmStats, LATENCY_BOUNDS_MS, latencyBucket, NO_STATS } from './latency.js';
import { type AnalysisPlan, analysisSchema } from './plan.js';

const plan: AnalysisPlan = analysisSchema.parse({});

/** Requests of which so many failed; `slow` of them took 100 ms, the rest 5 ms. */
function arm(requests: number, errors = 0, slow = 0): ArmStats {
  const latency = new Array<number>(LATENCY_BOUNDS_MS.length + 1).fill(0);
  latency[latencyBucket(5)] = requests - slow;
  latency[latencyBucket(100)] = slow;
  return { requests, errors, latency };
}

/** By errors and slow requests alone, with nothing known from before. */
function compareArms(stable: ArmStats, candidate: ArmStats, by: AnalysisPlan, slowMs: number | undefined) {
  return judge(by, {
    stable: { answers: stable, observed: {} },
    candidate: { answers: candidate, observed: {} },
    before: NO_SUMS,
    slow: slowMs === undefined ? {} : { 'latency p95': { ms: slowMs } },
    measured: {},
    now: 0,
  });
}

describe('judge', () => {
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
    const strict = analysisSchema.parse({
      metrics: [
        { kind: 'errors', maxIncrease: 0 },
        { kind: 'latency', maxIncrease: 0 },
      ],
      alpha: 0.2,
    });
    const runs = 150;
    let alarms = 0;
    for (let run = 0; run < runs; run++) {
      const seen = [
        [0, 0, 0],
        [0, 0, 0],
      ];
      for (let look = 0; look < 200; look++) {
        for (const counts of seen) {
          for (let request = 0; request < 10; request++) {
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
