import { describe, expect, it } from 'vitest';
import { seeded } from '../../../../tests/support/random.js';
import type { RevisionRoute, ShadowRoute } from '../route.js';
import { shadowsFor } from './choose.js';
import { DEFAULT_SHADOW } from './settings.js';

const revision = (number: number) => ({ number }) as RevisionRoute;
const shadows = (...percents: number[]): ShadowRoute => ({
  settings: DEFAULT_SHADOW,
  targets: percents.map((shadowPercent, at) => ({ revision: revision(at + 2), shadowPercent })),
});

describe('the shadows of a request', () => {
  it.each<[string, number[], number, number, number[]]>([
    ['one at 100 %', [100], 1, 0.999_999, [2]],
    ['one at 10 %, by chance', [10], 1, 0.099, [2]],
    ['one at 10 %, not by chance', [10], 1, 0.1, []],
    ['several at once', [100, 100], 1, 0.5, [2, 3]],
    ['not the one that answers', [100, 100], 2, 0, [3]],
    ['a thousandth of a percent', [0.001], 1, 0.000_009, [2]],
  ])('%s', (_, percents, answering, random, gives) => {
    const chosen = shadowsFor(shadows(...percents), revision(answering), () => random);
    expect(chosen.map(({ number }) => number)).toEqual(gives);
  });

  it('are drawn each by itself, in their shares', () => {
    const random = seeded(5);
    const counts = { two: 0, three: 0, both: 0 };
    const times = 100_000;
    for (let at = 0; at < times; at++) {
      const chosen = shadowsFor(shadows(30, 50), revision(1), random).map(({ number }) => number);
      if (chosen.includes(2)) counts.two++;
      if (chosen.includes(3)) counts.three++;
      if (chosen.length === 2) counts.both++;
    }
    expect(counts.two / times).toBeCloseTo(0.3, 2);
    expect(counts.three / times).toBeCloseTo(0.5, 2);
    expect(counts.both / times).toBeCloseTo(0.15, 2);
  });
});
