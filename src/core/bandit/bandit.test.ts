import { describe, expect, it } from 'vitest';
import { seeded } from '../../../tests/support/random.js';
import { logGamma } from '../rollouts/analysis/special.js';
import { digamma, probabilitiesOfBest, trigamma } from './best.js';
import { type BanditFacts, decideBandit, sharesOf } from './decide.js';
import { banditSchema } from './settings.js';

const logBeta = (a: number, b: number) => logGamma(a) + logGamma(b) - logGamma(a + b);

/** P(second > first) for whole numbers: Evan Miller's closed form of the integral. */
function closedForm(first: { a: number; b: number }, second: { a: number; b: number }): number {
  let sum = 0;
  for (let i = 0; i < second.a; i++) {
    sum += Math.exp(
      logBeta(first.a + i, first.b + second.b) -
        Math.log(second.b + i) -
        logBeta(1 + i, second.b) -
        logBeta(first.a, first.b),
    );
  }
  return sum;
}

describe('the probability to be the best', () => {
  it('is the closed form for two arms', () => {
    const random = seeded(3);
    for (let n = 0; n < 60; n++) {
      const any = () => 1 + Math.floor(random() ** 3 * 3000);
      const first = { a: any(), b: any() };
      const second = n % 2 === 0 ? { a: any(), b: any() } : { a: first.a + Math.floor(random() * 20), b: first.b };
      const [, best = 0] = probabilitiesOfBest([first, second]);
      expect(Math.abs(best - closedForm(first, second))).toBeLessThan(5e-4);
    }
  });

  it('is even among equals, of any number and any evidence', () => {
    for (const arms of [2, 3, 8]) {
      for (const arm of [
        { a: 0.1, b: 0.1 },
        { a: 1, b: 1 },
        { a: 3, b: 90 },
        { a: 1e6, b: 1e7 },
      ])
        for (const best of probabilitiesOfBest(new Array(arms).fill(arm))) expect(best).toBeCloseTo(1 / arms, 3);
    }
  });

  it('agrees with draws for three arms', () => {
    // Beta(1, b) is drawn by its inverse: 1 - u^(1/b)
    const arms = [
      { a: 1, b: 2 },
      { a: 1, b: 3 },
      { a: 1, b: 9 },
    ];
    const random = seeded(11);
    const wins = [0, 0, 0];
    const draws = 200_000;
    for (let n = 0; n < draws; n++) {
      const drawn = arms.map(({ b }) => 1 - random() ** (1 / b));
      const best = drawn.indexOf(Math.max(...drawn));
      wins[best] = (wins[best] ?? 0) + 1;
    }
    probabilitiesOfBest(arms).forEach((best, arm) => {
      expect(Math.abs(best - (wins[arm] ?? 0) / draws)).toBeLessThan(0.005);
    });
  });

  it('stands on the right functions', () => {
    expect(digamma(1)).toBeCloseTo(-0.5772156649015329, 9);
    expect(digamma(0.5)).toBeCloseTo(-1.9635100260214235, 9);
    expect(trigamma(1)).toBeCloseTo(Math.PI ** 2 / 6, 8);
    expect(trigamma(0.5)).toBeCloseTo(Math.PI ** 2 / 2, 8);
  });
});

describe('shares', () => {
  it('sum exactly, and none is below the floor', () => {
    const random = seeded(5);
    for (let n = 0; n < 500; n++) {
      const raw = Array.from({ length: 2 + Math.floor(random() * 9) }, () => random() ** 6);
      const sum = raw.reduce((total, each) => total + each, 0);
      const total = n % 3 === 0 ? 100 : Math.round(random() * 100_000) / 1000 + 1;
      const shares = sharesOf(
        raw.map((each) => each / sum),
        total,
        2,
      );
      expect(shares.reduce((all, share) => all + Math.round(share * 1000), 0)).toBe(Math.round(total * 1000));
      const floor = Math.min(2, total / raw.length);
      for (const share of shares) expect(share).toBeGreaterThanOrEqual(floor - 0.001);
    }
  });
});

describe('decideBandit', () => {
  const facts = (more: Partial<BanditFacts> = {}, settings: object = {}): BanditFacts => ({
    settings: banditSchema.parse(settings),
    targets: [
      { revision: 1, percent: 50, tag: 'a' },
      { revision: 2, percent: 50 },
    ],
    rewards: new Map([
      [1, { count: 1000, sum: 50 }],
      [2, { count: 1000, sum: 100 }],
    ]),
    rolloutInFlight: false,
    changedAt: undefined,
    now: 1_000_000,
    ...more,
  });

  it('gives the best arm what is not kept for the others, and says the numbers', () => {
    const decision = decideBandit(facts());
    expect(decision).toMatchObject({
      kind: 'change',
      targets: [
        { revision: 1, percent: 2, tag: 'a' },
        { revision: 2, percent: 98 },
      ],
    });
    expect(decision.reason).toBe(
      'reward: revision 1 2 % (mean 0.05 of 1000, best with 0 %), revision 2 98 % (mean 0.1 of 1000, best with 100 %)',
    );
  });

  it.each<[string, Partial<BanditFacts>, object, string]>([
    ['during a rollout', { rolloutInFlight: true }, {}, 'a rollout moves the traffic'],
    ['without rewards', { rewards: new Map() }, {}, 'no reward was reported within 86400 s'],
    ['with one arm', { targets: [{ revision: 1, percent: 100 }] }, {}, '1 of the arms have traffic'],
    [
      'when nothing moves',
      {
        targets: [
          { revision: 1, percent: 2.5 },
          { revision: 2, percent: 97.5 },
        ],
      },
      {},
      'less than 1',
    ],
    ['soon after a change', { changedAt: 980_000 }, {}, 'changed 20 s ago, next after 30 s'],
  ])('keeps the traffic %s', (_what, more, settings, words) => {
    const decision = decideBandit(facts(more, settings));
    expect(decision.kind).toBe('keep');
    expect(decision.reason).toContain(words);
  });

  it('leaves the share of what does not compete', () => {
    const targets = [
      { revision: 1, percent: 30 },
      { revision: 2, percent: 30 },
      { revision: 3, percent: 40 },
    ];
    const decision = decideBandit(facts({ targets }, { arms: [1, 2] }));
    expect(decision).toMatchObject({ targets: [{ percent: 2 }, { percent: 58 }, { revision: 3, percent: 40 }] });
  });
});

describe('over 200 runs of 10,000 requests to arms of 5 % and 10 %', () => {
  it('most traffic ends on the better arm, and most of what an even split loses is won', () => {
    const settings = banditSchema.parse({});
    const rates = [0.05, 0.1];
    const runs = 200;
    const batch = 500;
    let settled = 0;
    let toBest = 0;
    for (let run = 0; run < runs; run++) {
      const random = seeded(1000 + run);
      let targets = [
        { revision: 1, percent: 50 },
        { revision: 2, percent: 50 },
      ];
      const rewards = new Map([1, 2].map((revision) => [revision, { count: 0, sum: 0 }]));
      for (let asked = 0; asked < 10_000; asked += batch) {
        for (let n = 0; n < batch; n++) {
          const arm = random() * 100 < (targets[0]?.percent ?? 0) ? 0 : 1;
          const known = rewards.get(arm + 1) ?? { count: 0, sum: 0 };
          rewards.set(arm + 1, { count: known.count + 1, sum: known.sum + (random() < (rates[arm] ?? 0) ? 1 : 0) });
          toBest += arm;
        }
        const now = asked * 1000;
        const decision = decideBandit({
          settings,
          targets,
          rewards,
          rolloutInFlight: false,
          changedAt: undefined,
          now,
        });
        if (decision.kind === 'change') targets = [...decision.targets];
      }
      if ((targets[1]?.percent ?? 0) > 90) settled++;
    }
    expect(settled).toBeGreaterThanOrEqual(0.99 * runs);
    // regret is 0.05 for each request to the worse arm; an even split sends it half of them
    expect(1 - toBest / (runs * 10_000)).toBeLessThan(0.12);
  });
});
