import { describe, expect, it } from 'vitest';
import { seeded } from '../../../../tests/support/random.js';
import { choiceCost, driftEvidence } from './drift.js';

/** Draws from weights. */
function drawer(random: () => number, weights: readonly number[]) {
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return () => {
    let left = random() * total;
    for (let at = 0; at < weights.length; at++) {
      left -= weights[at] as number;
      if (left < 0) return at;
    }
    return weights.length - 1;
  };
}

const CLASSES = [30, 20, 15, 10, 8, 7, 4, 3, 2, 1];

describe('choiceCost', () => {
  it('gives all sets together no more than all of alpha', () => {
    for (const kinds of [3, 6, 10]) {
      let sum = 0;
      for (let mask = 0; mask < 2 ** kinds; mask++) {
        const set = Array.from({ length: kinds }, (_, at) => at).filter((at) => (mask >> at) & 1);
        sum += Math.exp(-choiceCost(set, kinds));
      }
      expect(sum).toBeLessThanOrEqual(1);
    }
  });
});

describe('driftEvidence', () => {
  it('says nothing of nothing', () => {
    expect(driftEvidence([], [], 0.1, 64)).toEqual({ distance: 0, more: 0, less: 0 });
  });

  it.each([
    { why: 'equal', candidate: CLASSES, stable: CLASSES, d: 0.2, is: 'less' },
    { why: 'one class for all', candidate: [0, 0, 0, 100], stable: CLASSES, d: 0.2, is: 'more' },
    { why: 'turned around', candidate: [...CLASSES].reverse(), stable: CLASSES, d: 0.2, is: 'more' },
    { why: 'a little off', candidate: [25, 25, 15, 10, 8, 7, 4, 3, 2, 1], stable: CLASSES, d: 0.2, is: 'less' },
  ])('of many answers, $why: $is', ({ candidate, stable, d, is }) => {
    const scaled = (weights: readonly number[], n: number) => weights.map((weight) => weight * n);
    const { more, less } = driftEvidence(scaled(candidate, 20), scaled(stable, 180), d, 64);
    expect(more >= Math.log(40)).toBe(is === 'more');
    expect(less >= Math.log(20)).toBe(is === 'less');
  });

  it('is wrong in at most alpha of all runs on either side of the border, at every look', () => {
    const random = seeded(31);
    const alpha = 0.1;
    // exactly 0.2 apart
    const a = [40, 30, 20, 10];
    const b = [30, 20, 30, 20];
    let [more, less] = [0, 0];
    const runs = 150;
    for (let run = 0; run < runs; run++) {
      const [candidate, stable] = [new Array<number>(4).fill(0), new Array<number>(4).fill(0)];
      const [c, s] = [drawer(random, a), drawer(random, b)];
      let [saidMore, saidLess] = [false, false];
      for (let look = 0; look < 150; look++) {
        for (let at = 0; at < 10; at++) {
          const [x, y] = [c(), s()];
          candidate[x] = (candidate[x] ?? 0) + 1;
          stable[y] = (stable[y] ?? 0) + 1;
        }
        const evidence = driftEvidence(candidate, stable, 0.2, 64);
        saidMore ||= evidence.more >= Math.log(1 / alpha);
        saidLess ||= evidence.less >= Math.log(1 / alpha);
      }
      if (saidMore) more++;
      if (saidLess) less++;
    }
    const bound = alpha + 3 * Math.sqrt((alpha * (1 - alpha)) / runs);
    expect(more / runs).toBeLessThan(bound);
    expect(less / runs).toBeLessThan(bound);
  });

  it('finds a model that gives one class too often', () => {
    const random = seeded(5);
    const needed = Array.from({ length: 20 }, () => {
      const [candidate, stable] = [new Array<number>(10).fill(0), new Array<number>(10).fill(0)];
      const c = drawer(random, [...CLASSES.slice(0, 9), 80]);
      const s = drawer(random, CLASSES);
      for (let requests = 1; requests < 5000; requests++) {
        const x = c();
        candidate[x] = (candidate[x] ?? 0) + 1;
        for (let at = 0; at < 9; at++) {
          const y = s();
          stable[y] = (stable[y] ?? 0) + 1;
        }
        if (driftEvidence(candidate, stable, 0.2, 64).more >= Math.log(20)) return requests;
      }
      return 5000;
    });
    expect(needed.sort((x, y) => x - y)[10]).toBeLessThan(250);
  });
});
