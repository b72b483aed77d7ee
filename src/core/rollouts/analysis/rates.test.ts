import { describe, expect, it } from 'vitest';
import { seeded } from '../../../../tests/support/random.js';
import {
  ANY,
  differenceBounds,
  evidenceAgainst,
  evidenceOfOne,
  type Hypothesis,
  informed,
  logLikelihood,
  logMixture,
  type Prior,
  RARE,
  type Rate,
  rateInterval,
  type TwoArms,
} from './rates.js';
import { logGamma } from './special.js';

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
        const { low, high } = rateInterval({ hits, total }, alpha);
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
    const interval = rateInterval({ hits, total }, 0.05);
    if (low !== undefined) expect(interval.low).toBe(low);
    if (high !== undefined) expect(interval.high).toBe(high);
    expect(interval.low).toBeLessThanOrEqual(hits / Math.max(1, total));
    expect(interval.high).toBeGreaterThanOrEqual(hits / Math.max(1, total));
  });

  it('narrows with more data of the same share, and widens with more confidence', () => {
    let width = 1;
    for (const total of [100, 1000, 10_000, 1_000_000, 100_000_000]) {
      const { low, high } = rateInterval({ hits: total / 50, total }, 0.05);
      expect(high - low).toBeLessThan(width);
      width = high - low;
      const wider = rateInterval({ hits: total / 50, total }, 0.001);
      expect(wider.low).toBeLessThanOrEqual(low);
      expect(wider.high).toBeGreaterThanOrEqual(high);
    }
    expect(width).toBeLessThan(2e-4);
  });

  it('moves up with every hit', () => {
    let before = rateInterval({ hits: 0, total: 200 }, 0.05);
    for (let hits = 1; hits <= 200; hits++) {
      const now = rateInterval({ hits, total: 200 }, 0.05);
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
        const { low, high } = rateInterval({ hits, total }, alpha);
        out = rate < low || rate > high;
      }
      if (out) missed++;
    }
    // three standard deviations of chance above alpha
    expect(missed / runs).toBeLessThan(alpha + 3 * Math.sqrt((alpha * (1 - alpha)) / runs));
  });
});

/** So many hits of a Bernoulli rate. */
function draw(random: () => number, rate: number, requests: number): number {
  let hits = 0;
  for (let at = 0; at < requests; at++) if (random() < rate) hits++;
  return hits;
}

function plus(rate: Rate, hits: number, total: number): Rate {
  return { hits: rate.hits + hits, total: rate.total + total };
}

const NONE: Rate = { hits: 0, total: 0 };
const usual = { candidate: RARE, stable: RARE };

describe('evidenceAgainst', () => {
  it('divides by the greatest likelihood of the hypothesis, as a scan of all pairs of rates finds it', () => {
    const random = seeded(12);
    for (let round = 0; round < 40; round++) {
      const rate = (): Rate => {
        const total = Math.floor(random() * 60);
        return { hits: Math.floor(random() ** 2 * (total + 1)), total };
      };
      const arms: TwoArms = { candidate: rate(), stable: rate(), priors: { candidate: ANY, stable: RARE } };
      const margin = Math.round(random() * 20) / 20 - (random() < 0.3 ? 0.5 : 0);
      for (const hypothesis of ['at_most', 'at_least'] as const) {
        let best = Number.NEGATIVE_INFINITY;
        for (let c = 0; c <= 200; c++) {
          for (let s = 0; s <= 200; s++) {
            const gap = (c - s) / 200;
            if (hypothesis === 'at_most' ? gap > margin + 1e-9 : gap < margin - 1e-9) continue;
            best = Math.max(best, logLikelihood(arms.candidate, c / 200) + logLikelihood(arms.stable, s / 200));
          }
        }
        const mixture = logMixture(arms.candidate, ANY) + logMixture(arms.stable, RARE);
        const found = evidenceAgainst(hypothesis, margin, arms);
        // the scan's rates are coarse: it can only fall short of the greatest likelihood, and by little
        expect(found).toBeLessThanOrEqual(mixture - best + 1e-9);
        expect(found).toBeGreaterThan(mixture - best - 0.25);
      }
    }
  });

  it.each<{ why: string; candidate: Rate; stable: Rate; at_most: boolean; at_least: boolean }>([
    { why: 'nothing at all', candidate: NONE, stable: NONE, at_most: false, at_least: false },
    {
      why: 'a candidate alone, and good',
      candidate: { hits: 0, total: 5000 },
      stable: NONE,
      at_most: false,
      at_least: true,
    },
    {
      why: 'a candidate alone, and bad',
      candidate: { hits: 900, total: 1000 },
      stable: NONE,
      at_most: false,
      at_least: false,
    },
    { why: 'a stable alone', candidate: NONE, stable: { hits: 0, total: 5000 }, at_most: false, at_least: false },
    {
      why: 'all and none',
      candidate: { hits: 90, total: 90 },
      stable: { hits: 0, total: 90 },
      at_most: true,
      at_least: false,
    },
    {
      why: 'none and all',
      candidate: { hits: 0, total: 90 },
      stable: { hits: 90, total: 90 },
      at_most: false,
      at_least: true,
    },
  ])('$why', ({ candidate, stable, at_most, at_least }) => {
    const rejects = (hypothesis: Hypothesis) =>
      evidenceAgainst(hypothesis, 0.02, { candidate, stable, priors: usual }) >= Math.log(20);
    expect([rejects('at_most'), rejects('at_least')]).toEqual([at_most, at_least]);
  });

  it('is finite or minus infinity at the ends of the margins', () => {
    for (const margin of [-1, 0, 1]) {
      for (const hits of [0, 5, 10]) {
        for (const hypothesis of ['at_most', 'at_least'] as const) {
          const arms = { candidate: { hits, total: 10 }, stable: { hits: 10 - hits, total: 10 }, priors: usual };
          expect(evidenceAgainst(hypothesis, margin, arms)).not.toBeNaN();
        }
      }
    }
  });

  const CASES: readonly { candidate: number; stable: number; share: number; past: number }[] = [
    { candidate: 0.01, stable: 0.01, share: 0.1, past: 0.01 },
    { candidate: 0.01, stable: 0.01, share: 0.5, past: 0.2 },
    { candidate: 0.07, stable: 0.05, share: 0.5, past: 0.05 },
    { candidate: 0.5, stable: 0.5, share: 0.3, past: 0.5 },
    { candidate: 0.92, stable: 0.9, share: 0.7, past: 0.1 },
    { candidate: 0.002, stable: 0, share: 0.5, past: 0 },
  ];
  it.each(CASES)(
    'rejects what is true in at most α of all runs, at every look: %o',
    ({ candidate, stable, share, past }) => {
      const margin = candidate - stable;
      const alpha = 0.1;
      const random = seeded(Math.round(candidate * 1e4 + share * 100));
      const runs = 300;
      const before = informed({ hits: past * 1000, total: 1000 }, 2000, RARE);
      const rejected = { at_most: 0, at_least: 0 };
      for (let run = 0; run < runs; run++) {
        const open = new Set<Hypothesis>(['at_most', 'at_least']);
        let [c, s] = [NONE, NONE];
        for (let look = 0; look < 250; look++) {
          const [nc, ns] = [Math.round(20 * share), Math.round(20 * (1 - share))];
          c = plus(c, draw(random, candidate, nc), nc);
          s = plus(s, draw(random, stable, ns), ns);
          for (const hypothesis of open) {
            // on the border both hypotheses are true
            const priors = { candidate: hypothesis === 'at_most' ? RARE : before, stable: before };
            if (evidenceAgainst(hypothesis, margin, { candidate: c, stable: s, priors }) < Math.log(1 / alpha))
              continue;
            rejected[hypothesis]++;
            open.delete(hypothesis);
          }
        }
      }
      const bound = alpha + 3 * Math.sqrt((alpha * (1 - alpha)) / runs);
      expect(rejected.at_most / runs).toBeLessThan(bound);
      expect(rejected.at_least / runs).toBeLessThan(bound);
    },
  );

  it('holds for values from 0 to 1 too, whatever their distribution', () => {
    const random = seeded(8);
    const kinds: readonly (() => number)[] = [
      () => random(),
      () => random() ** 3,
      () => (random() < 0.9 ? 0.05 : 0.95),
      () => 0.5,
    ];
    const runs = 200;
    for (const value of kinds) {
      let rejected = 0;
      for (let run = 0; run < runs; run++) {
        let [c, s] = [NONE, NONE];
        for (let look = 0; look < 300; look++) {
          c = plus(c, value(), 1);
          for (let at = 0; at < 3; at++) s = plus(s, value(), 1);
          const arms = { candidate: c, stable: s, priors: { candidate: ANY, stable: ANY } };
          if (evidenceAgainst('at_most', 0, arms) < Math.log(10)) continue;
          rejected++;
          break;
        }
      }
      expect(rejected / runs).toBeLessThan(0.1 + 3 * Math.sqrt(0.09 / runs));
    }
  });

  it('takes fewer requests than two intervals that must not meet', () => {
    const random = seeded(21);
    const past = informed({ hits: 20, total: 2000 }, 2000, RARE);
    const needed = { joint: [] as number[], apart: [] as number[] };
    for (let run = 0; run < 40; run++) {
      let [c, s] = [NONE, NONE];
      let [joint, apart] = [0, 0];
      while ((joint === 0 || apart === 0) && c.total < 20_000) {
        c = plus(c, draw(random, 0.06, 10), 10);
        s = plus(s, draw(random, 0.01, 90), 90);
        const arms = { candidate: c, stable: s, priors: { candidate: RARE, stable: past } };
        if (joint === 0 && evidenceAgainst('at_most', 0.02, arms) >= Math.log(2 / 0.05)) joint = c.total;
        if (rateInterval(c, 0.05 / 4).low > rateInterval(s, 0.05 / 4).high + 0.02) apart ||= c.total;
      }
      needed.joint.push(joint);
      needed.apart.push(apart);
    }
    const median = (list: number[]) => list.sort((a, b) => a - b)[20] ?? 0;
    expect(median(needed.joint)).toBeLessThan(0.9 * median(needed.apart));
  });
});

describe('differenceBounds', () => {
  it('are the margins that are not rejected', () => {
    const random = seeded(2);
    const side = { priors: usual, alpha: 0.05 };
    for (let round = 0; round < 60; round++) {
      const rate = (): Rate => {
        const total = Math.floor(random() * 2000);
        return { hits: Math.floor(random() ** 3 * (total + 1)), total };
      };
      const [candidate, stable] = [rate(), rate()];
      const { low, high } = differenceBounds(candidate, stable, { low: side, high: side });
      expect(low).toBeLessThanOrEqual(high);
      const arms = { candidate, stable, priors: usual };
      for (let margin = -0.99; margin < 1; margin += 0.03) {
        if (Math.min(Math.abs(margin - low), Math.abs(margin - high)) < 1e-6) continue;
        expect(evidenceAgainst('at_most', margin, arms) >= Math.log(20)).toBe(margin < low);
        expect(evidenceAgainst('at_least', margin, arms) >= Math.log(20)).toBe(margin > high);
      }
    }
  });
});

describe('evidenceOfOne', () => {
  it.each([
    { rate: NONE, at_most: false, at_least: false },
    { rate: { hits: 0, total: 2000 }, at_most: false, at_least: true },
    { rate: { hits: 40, total: 400 }, at_most: true, at_least: false },
    { rate: { hits: 4, total: 400 }, at_most: false, at_least: false },
  ])('$rate against 1 %', ({ rate, at_most, at_least }) => {
    const rejects = (hypothesis: Hypothesis) => evidenceOfOne(hypothesis, 0.01, rate, RARE) >= Math.log(20);
    expect([rejects('at_most'), rejects('at_least')]).toEqual([at_most, at_least]);
  });
});

describe('informed', () => {
  it('sums to one, and knows nothing of nothing', () => {
    expect(informed(NONE, 100, RARE)).toBe(RARE);
    const sum = (prior: Prior) => prior.reduce((total, { weight }) => total + weight, 0);
    expect(sum(informed({ hits: 3, total: 90 }, 100, RARE))).toBeCloseTo(1, 12);
    expect(informed({ hits: 30, total: 900 }, 100, RARE)[0]?.b).toBeCloseTo(0.5 + 870 / 9, 9);
  });
});
