import { expect, it, test } from 'vitest';
import { endpointRoute, revisionRoute } from '../../../tests/support/knative-objects.js';
import type { EndpointRoute } from '../../core/inference/route.js';
import { sameTraffic, trafficOf, wholePercents } from './traffic.js';

test.each([
  [[100], [100]],
  [
    [90, 10],
    [90, 10],
  ],
  [
    [90.4, 9.6],
    [90, 10],
  ],
  [
    [99.5, 0.5],
    [100, 0],
  ],
  [
    [33.333, 33.333, 33.334],
    [33, 33, 34],
  ],
  [
    [0.4, 0.4, 99.2],
    [1, 0, 99],
  ],
  [
    [12.5, 12.5, 75],
    [13, 12, 75],
  ],
  [
    [29.999999999999996, 70],
    [30, 70],
  ],
  // one of the shares is not on Knative
  [
    [20, 30],
    [40, 60],
  ],
  [[], []],
  [
    [0, 0],
    [0, 0],
  ],
])('%j is %j in whole percents', (shares, whole) => {
  expect(wholePercents(shares)).toEqual(whole);
});

const endpoint = (...targets: readonly [number, number, string?][]): EndpointRoute =>
  endpointRoute(
    [1, 2, 3].map((number) => revisionRoute(number)),
    targets,
  );

const said = (route: EndpointRoute, present: number[], served: number[], tagged: number[]) =>
  trafficOf(route, { present, served: new Set(served), tagged: new Set(tagged) }).map(
    ({ revisionName, percent, tag }) =>
      `${revisionName?.replace('digits-12345678-', '')} ${percent}${tag ? ` #${tag}` : ''}`,
  );

it('names shares first, then every revision by its number, and by the name that a user gave it', () => {
  expect(said(endpoint([1, 90, 'stable'], [2, 10]), [1, 2, 3], [1, 2], [1, 2, 3])).toEqual([
    'r1 90',
    'r2 10',
    'r1 0 #r1',
    'r1 0 #stable',
    'r2 0 #r2',
    'r3 0 #r3',
  ]);
});

it('leaves out what is not ready, and shares its part out', () => {
  expect(said(endpoint([1, 80], [2, 20]), [1, 2], [1], [1])).toEqual(['r1 100', 'r1 0 #r1']);
  // where nothing is ready, Knative is to wait for what is wanted
  expect(said(endpoint([1, 80], [2, 20]), [1, 2], [], [])).toEqual(['r1 80', 'r2 20']);
});

it('gives all to the newest that is ready where nothing has a share', () => {
  expect(said(endpoint(), [1, 2, 3], [], [1, 2])).toEqual(['r2 100', 'r1 0 #r1', 'r2 0 #r2']);
  expect(said(endpoint(), [1, 2, 3], [], [])).toEqual(['r3 100']);
});

it('leaves out a tag of a user that no name could hold, or that is one of ours', () => {
  expect(said(endpoint([1, 100, 'r2']), [1], [1], [1])).toEqual(['r1 100', 'r1 0 #r1']);
  expect(said(endpoint([1, 100, 'x'.repeat(50)]), [1], [1], [1])).toEqual(['r1 100', 'r1 0 #r1']);
});

it('tells settings that mean the same from others', () => {
  const a = { revisionName: 'a', percent: 100 };
  const tagged = { revisionName: 'a', tag: 't' };
  expect(sameTraffic([a, tagged], [{ ...tagged, percent: 0, latestRevision: false }, a])).toBe(true);
  expect(sameTraffic([a], [{ latestRevision: true, percent: 100 }])).toBe(false);
  expect(sameTraffic([a, tagged], [a])).toBe(false);
});

it('gives a shadow its tags alone: copies of requests are the affair of gateways', () => {
  const route = endpoint([1, 100], [2, 0, 'next']);
  const targets = route.targets.map((target) => (target.percent === 0 ? { ...target, shadowPercent: 50 } : target));
  const all = new Set([1, 2]);
  const traffic = trafficOf({ ...route, targets }, { present: [1, 2], served: all, tagged: all });
  expect(traffic.filter(({ percent = 0 }) => percent > 0)).toHaveLength(1);
  expect(traffic.filter(({ tag }) => tag !== undefined)).toHaveLength(3);
});
