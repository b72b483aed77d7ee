import { describe, expect, it } from 'vitest';
import { seeded } from '../../../tests/support/random.js';
import { chooseRevision, type EndpointRoute, type RevisionRoute, replicaFloor, unitHash } from './route.js';

function revision(number: number): RevisionRoute {
  return { number, key: `ep_1/${number}` } as RevisionRoute;
}

/** An endpoint by its percents: the first is revision 1's. Revision 9 exists without traffic. */
function endpoint(percents: readonly number[], tags: readonly (string | undefined)[] = [], id = 'ep_1'): EndpointRoute {
  const targets = percents.map((percent, at) => ({ revision: revision(at + 1), percent, tag: tags[at] }));
  const revisions = new Map([...targets.map((target) => target.revision), revision(9)].map((one) => [one.number, one]));
  return { id, name: 'digits', targets, revisions } as unknown as EndpointRoute;
}

const canary = endpoint([90, 10], ['stable', 'candidate']);

describe('chooseRevision', () => {
  it.each([
    { why: 'a pin is obeyed', route: canary, ask: { pin: '2' }, gives: 2 },
    { why: 'a pin reaches a revision without traffic', route: canary, ask: { pin: '9' }, gives: 9 },
    { why: 'a pin goes before a tag', route: canary, ask: { pin: '1', tag: 'candidate' }, gives: 1 },
    { why: 'a tag names its target', route: canary, ask: { tag: 'candidate', stickyKey: 'anna' }, gives: 2 },
    { why: 'chance: the first target begins at 0', route: canary, ask: { random: 0 }, gives: 1 },
    { why: 'chance: just below the border', route: canary, ask: { random: 0.8999999 }, gives: 1 },
    { why: 'chance: on the border the next begins', route: canary, ask: { random: 0.9 }, gives: 2 },
    { why: 'chance: the end belongs to the last', route: canary, ask: { random: 1 - 2 ** -53 }, gives: 2 },
    { why: 'nothing goes to 0 %', route: endpoint([0, 100]), ask: { random: 0 }, gives: 2 },
    { why: 'nothing goes to a last 0 %', route: endpoint([100, 0]), ask: { random: 1 - 2 ** -53 }, gives: 1 },
    { why: 'a sticky key does not go to 0 % either', route: endpoint([0, 100]), ask: { stickyKey: 'x' }, gives: 2 },
    { why: 'one target needs no choice', route: endpoint([100]), ask: { stickyKey: 'x' }, gives: 1 },
    {
      why: 'thirds that add up to less than 100 leave no gap',
      route: endpoint([33.333, 33.333, 33.333]),
      ask: { random: 1 - 2 ** -53 },
      gives: 3,
    },
  ])('$why', ({ route, ask, gives }) => {
    expect(chooseRevision(route, { random: 0.5, ...ask }).number).toBe(gives);
  });

  it.each([
    { why: 'a revision that does not exist', route: canary, ask: { pin: '7' }, code: 'not_found' },
    { why: 'a pin that is no number', route: canary, ask: { pin: 'two' }, code: 'not_found' },
    { why: 'an empty pin', route: canary, ask: { pin: '' }, code: 'not_found' },
    { why: 'a number written another way (1.0)', route: canary, ask: { pin: '1.0' }, code: 'not_found' },
    { why: 'a number written another way (0x1)', route: canary, ask: { pin: '0x1' }, code: 'not_found' },
    { why: 'a number with a space', route: canary, ask: { pin: ' 1' }, code: 'not_found' },
    { why: 'a tag that no target has', route: canary, ask: { tag: 'beta' }, code: 'not_found' },
    { why: 'an endpoint without traffic', route: endpoint([]), ask: {}, code: 'not_ready' },
  ])('refuses $why', ({ route, ask, code }) => {
    expect(() => chooseRevision(route, { random: 0.5, ...ask })).toThrowError(expect.objectContaining({ code }));
  });
});

/** The keys that clients really have: counters, mails, UUIDs, letters outside of ASCII. */
const KEYS = {
  counters: (at: number) => String(at),
  mails: (at: number) => `user${at}@example.com`,
  suffixes: (at: number) => `${at}-session-with-a-long-common-end`,
  hex: (at: number) => (at * 2654435761).toString(16).padStart(12, '0'),
  unicode: (at: number) => `ключ-${at}-日本`,
};

describe('the sticky hash', () => {
  const number = (route: EndpointRoute, key: string) => chooseRevision(route, { stickyKey: key, random: 0.5 }).number;

  it.each(Object.entries(KEYS))('gives each target its share: %s', (_name, keyOf) => {
    const count = 20_000;
    for (const percents of [
      [90, 10],
      [50, 50],
      [99, 1],
      [60, 30, 10],
      [12.5, 87.5],
    ]) {
      const seen = new Map<number, number>();
      for (let at = 0; at < count; at++) {
        const to = number(endpoint(percents), keyOf(at));
        seen.set(to, (seen.get(to) ?? 0) + 1);
      }
      percents.forEach((percent, at) => {
        const share = percent / 100;
        const deviation = Math.sqrt(share * (1 - share) * count);
        const off = Math.abs((seen.get(at + 1) ?? 0) - share * count) / deviation;
        expect(off, `${percent} % of ${percents} gets ${seen.get(at + 1)} of ${count}`).toBeLessThan(4.5);
      });
    }
  });

  it.each(Object.entries(KEYS))('changes a key at most once while a canary grows: %s', (_name, keyOf) => {
    const steps = [1, 5, 10, 25, 50, 99, 100].map((percent) => endpoint([100 - percent, percent]));
    for (let at = 0; at < 3000; at++) {
      const way = steps.map((step) => number(step, keyOf(at)));
      const changes = way.filter((to, step) => step > 0 && to !== way[step - 1]).length;
      expect(changes, `${keyOf(at)} went ${way}`).toBeLessThanOrEqual(1);
      expect(way.at(-1)).toBe(2);
    }
  });

  it('moves keys among three only to a target that grew in proportion to theirs', () => {
    const before = [60, 30, 10];
    const after = [30, 30, 40];
    const growth = before.map((percent, at) => (after[at] ?? 0) / percent);
    for (let at = 0; at < 5000; at++) {
      const [from, to] = [number(endpoint(before), `k${at}`), number(endpoint(after), `k${at}`)];
      if (from !== to) expect(growth[to - 1]).toBeGreaterThan(growth[from - 1] ?? 0);
    }
  });

  it('does not depend on the order of the targets', () => {
    const route = endpoint([70, 30]);
    const turned = { ...route, targets: [...route.targets].reverse() };
    for (let at = 0; at < 2000; at++) expect(number(turned, `k${at}`)).toBe(number(route, `k${at}`));
  });

  it('puts other keys into the canary of another endpoint', () => {
    const [one, other] = [endpoint([90, 10], [], 'ep_a'), endpoint([90, 10], [], 'ep_b')];
    const keys = Array.from({ length: 20_000 }, (_, at) => `user-${at}`).filter((key) => number(one, key) === 2);
    const both = keys.filter((key) => number(other, key) === 2).length / keys.length;
    expect(both).toBeGreaterThan(0.07);
    expect(both).toBeLessThan(0.13);
  });
});

describe('unitHash', () => {
  it('lies strictly between 0 and 1, also for nothing and for long texts', () => {
    for (const text of ['', 'a', '\u0000', 'x'.repeat(100_000), '😀']) {
      expect(unitHash(text)).toBeGreaterThan(0);
      expect(unitHash(text)).toBeLessThan(1);
    }
  });

  it('is even over 256 bins for neighbouring keys', () => {
    for (const keyOf of Object.values(KEYS)) {
      const bins = new Array<number>(256).fill(0);
      const count = 51_200;
      for (let at = 0; at < count; at++) {
        const bin = Math.floor(unitHash(`ep_01/1/${keyOf(at)}`) * 256);
        bins[bin] = (bins[bin] ?? 0) + 1;
      }
      const chi = bins.reduce((sum, seen) => sum + (seen - count / 256) ** 2 / (count / 256), 0);
      // 255 degrees of freedom: 5 standard deviations of sqrt(2 * 255) above the mean
      expect(chi).toBeLessThan(255 + 5 * Math.sqrt(510));
    }
  });

  it('is independent between two revisions of one key', () => {
    let sum = 0;
    const count = 40_000;
    for (let at = 0; at < count; at++) sum += (unitHash(`ep/1/${at}`) - 0.5) * (unitHash(`ep/2/${at}`) - 0.5);
    // the correlation of two independent uniforms has a standard deviation of 1 / sqrt(n)
    expect(Math.abs((12 * sum) / count)).toBeLessThan(4.5 / Math.sqrt(count));
  });

  it('changes about half of its leading bits with one bit of the key', () => {
    const random = seeded(5);
    let flips = 0;
    const rounds = 4000;
    for (let at = 0; at < rounds; at++) {
      const text = `user-${Math.floor(random() * 1e9)}`;
      const place = Math.floor(random() * text.length);
      const other = text.slice(0, place) + String.fromCharCode(text.charCodeAt(place) ^ 1) + text.slice(place + 1);
      let apart = Math.floor(unitHash(text) * 65536) ^ Math.floor(unitHash(other) * 65536);
      for (; apart > 0; apart &= apart - 1) flips++;
    }
    expect(flips / rounds).toBeGreaterThan(7.8);
    expect(flips / rounds).toBeLessThan(8.2);
  });
});

describe('replicaFloor', () => {
  const route = endpoint([100, 0, 0]);
  const targets = route.targets.map((target) =>
    target.revision.number === 2 ? { ...target, shadowPercent: 1 } : target,
  );
  it.each([
    [1, 3],
    [2, 3],
    [3, 0],
  ])('of revision %i is %i: a shadow is kept as what has traffic is', (number, floor) => {
    const revision = route.revisions.get(number) as RevisionRoute;
    const scaled = { ...revision, warmUntilMs: 0, scaling: { ...revision.scaling, minReplicas: 3 } };
    expect(replicaFloor({ ...route, targets }, scaled, 0)).toBe(floor);
  });
});
