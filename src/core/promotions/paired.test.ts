import { describe, expect, it } from 'vitest';
import { seeded } from '../../../tests/support/random.js';
import { judgeScore, type ScoreBounds } from './judge.js';
import { comparePaired, normalQuantile, rowsNeeded, tangoLower } from './paired.js';

const of = (values: readonly number[]) => ({ values, width: 1 });

describe('tangoLower', () => {
  it.each([
    { p: 0.5, z: 0 },
    { p: 0.9, z: 1.281552 },
    { p: 0.95, z: 1.644854 },
    { p: 0.975, z: 1.959964 },
    { p: 0.999, z: 3.090232 },
  ])('knows the normal quantile of $p', ({ p, z }) => {
    expect(normalQuantile(p)).toBeCloseTo(z, 4);
  });

  it('is McNemar with its correction where the difference is 0', () => {
    // b = 25, c = 10: (25 - 10 - 0.5) / sqrt(35) = 2.451; its limit is 0 at that very confidence
    const z = (25 - 10 - 0.5) / Math.sqrt(35);
    let [low, high] = [0.5, 0.99999];
    for (let step = 0; step < 60; step++) {
      const middle = (low + high) / 2;
      if (normalQuantile(middle) < z) low = middle;
      else high = middle;
    }
    expect(tangoLower(25, 10, 100, low)).toBeCloseTo(0, 4);
  });

  it('never shows from too little that models are as good', () => {
    // the rule of three: no difference in 59 rows leaves one of 5 % possible
    expect(tangoLower(0, 0, 30, 0.95)).toBeLessThan(-0.05);
    expect(tangoLower(0, 0, 100, 0.95)).toBeGreaterThan(-0.05);
  });

  it('is below the truth as often as it says, at the bound itself', () => {
    const random = seeded(7);
    for (const { n, right, wrong } of [
      { n: 60, right: 0, wrong: 0.05 },
      { n: 200, right: 0.05, wrong: 0.1 },
      { n: 500, right: 0.02, wrong: 0.03 },
      { n: 1000, right: 0.1, wrong: 0.1 },
    ]) {
      let shown = 0;
      const rounds = 3000;
      for (let round = 0; round < rounds; round++) {
        let b = 0;
        let c = 0;
        for (let row = 0; row < n; row++) {
          const draw = random();
          if (draw < right) b++;
          else if (draw < right + wrong) c++;
        }
        if (tangoLower(b, c, n, 0.95) > right - wrong) shown++;
      }
      expect(shown / rounds, `${n} rows`).toBeLessThan(0.06);
    }
  });
});

describe('comparePaired', () => {
  it('bootstraps what is no share of rows, with the same verdict each time', async () => {
    const random = seeded(3);
    const expected = Array.from({ length: 400 }, () => random() * 10);
    const noise = (size: number) => expected.map((value) => value + (random() - 0.5) * size);
    const [good, bad] = [noise(1), noise(3)];
    for (const metric of ['mae', 'rmse', 'mse', 'r2'] as const) {
      const better = await comparePaired(metric, of(good), of(bad), expected, 0.95);
      expect(better).toEqual(await comparePaired(metric, of(good), of(bad), expected, 0.95));
      expect(better.lower, metric).toBeGreaterThan(0);
      expect(better.lower).toBeLessThan(better.better);
      const worse = await comparePaired(metric, of(bad), of(good), expected, 0.95);
      expect(worse.better).toBeCloseTo(-better.better);
      expect(worse.lower).toBeLessThan(worse.better);
    }
  });

  it('covers the truth of a mean as often as it says', async () => {
    const random = seeded(11);
    let shown = 0;
    const rounds = 150;
    for (let round = 0; round < rounds; round++) {
      const expected = new Array<number>(120).fill(0);
      // both are off by as much on the whole
      const draw = () => expected.map(() => random() * 2);
      if ((await comparePaired('mae', of(draw()), of(draw()), expected, 0.95)).lower > 0) shown++;
    }
    expect(shown / rounds).toBeLessThan(0.1);
  });

  it('says nothing of a handful of rows', async () => {
    const expected = Array.from({ length: 10 }, (_, at) => at);
    const paired = await comparePaired('mae', of(expected), of(expected), expected, 0.95);
    expect(paired.lower).toBe(Number.NEGATIVE_INFINITY);
  });
});

describe('a bound that must be shown', () => {
  const bounds = (more: object) => ({ metric: 'accuracy', confidence: 0.95, ...more }) as ScoreBounds;
  const rows = (n: number, right: number) => Array.from({ length: n }, (_, at) => (at < right ? 1 : 0));

  it.each([
    {
      why: 'many equal rows',
      n: 1000,
      mine: 900,
      theirs: 900,
      more: { maxRegression: 0.02 },
      passed: true,
      says: 'over 1000 rows',
    },
    {
      why: 'few equal rows',
      n: 40,
      mine: 36,
      theirs: 36,
      more: { maxRegression: 0.02 },
      passed: false,
      says: 'too few rows: 40, needs about',
    },
    {
      why: 'plainly worse',
      n: 1000,
      mine: 850,
      theirs: 900,
      more: { maxRegression: 0.02 },
      passed: false,
      says: 'at most 0.02 worse is allowed',
    },
    {
      why: 'clearly better',
      n: 1000,
      mine: 950,
      theirs: 900,
      more: { minImprovement: 0.02 },
      passed: true,
      says: 'at least',
    },
    {
      why: 'better by chance',
      n: 100,
      mine: 93,
      theirs: 90,
      more: { minImprovement: 0.02 },
      passed: false,
      says: 'too few rows: 100',
    },
  ])('$why', async ({ n, mine, theirs, more, passed, says }) => {
    const expected = new Array<number>(n).fill(1);
    const [candidate, champion] = [of(rows(n, mine)), of(rows(n, theirs))];
    const paired = await comparePaired('accuracy', candidate, champion, expected, 0.95);
    const outcome = judgeScore(bounds(more), { candidate: mine / n, champion: theirs / n, rows: n, paired });
    expect(outcome.passed, outcome.reason).toBe(passed);
    expect(outcome.reason).toContain(says);
  });

  it('is told about how many rows would do', () => {
    const needed = rowsNeeded(40, { better: 0, lower: tangoLower(0, 0, 40, 0.95) }, -0.02);
    expect(needed).toBeGreaterThan(100);
    // they would
    expect(tangoLower(0, 0, needed ?? 0, 0.95)).toBeGreaterThan(-0.02);
    expect(rowsNeeded(40, { better: -0.02, lower: -0.1 }, -0.02)).toBeUndefined();
  });
});
