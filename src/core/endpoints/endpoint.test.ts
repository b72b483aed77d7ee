import { describe, expect, it } from 'vitest';
import { seeded } from '../../../tests/support/random.js';
import { scalingSettings } from '../scaling/settings.js';
import { endpointSpecSchema, routingSchema, scalingSchema, trafficSchema } from './endpoint.js';

describe('trafficSchema', () => {
  it.each([
    { why: 'nothing yet', targets: [] },
    { why: 'one', targets: [{ revision: 1, percent: 100 }] },
    { why: 'thirds', targets: [1, 2, 3].map((revision) => ({ revision, percent: 100 / 3 })) },
    {
      why: 'three decimals',
      targets: [
        { revision: 1, percent: 99.999 },
        { revision: 2, percent: 0.001 },
      ],
    },
    {
      why: 'a tag without a share',
      targets: [
        { revision: 1, percent: 100 },
        { revision: 2, percent: 0, tag: 'next' },
      ],
    },
    {
      why: 'tenths, whose sum is not exact',
      targets: Array.from({ length: 10 }, (_, at) => ({ revision: at + 1, percent: at === 9 ? 100 - 9 * 11.1 : 11.1 })),
    },
  ])('takes $why', ({ targets }) => {
    expect(trafficSchema.safeParse(targets).success).toBe(true);
  });

  it.each([
    { why: '99 %', targets: [{ revision: 1, percent: 99 }], says: 'must add up to 100, not 99' },
    {
      why: '101 %',
      targets: [
        { revision: 1, percent: 60 },
        { revision: 2, percent: 41 },
      ],
      says: 'not 101',
    },
    { why: 'only a zero', targets: [{ revision: 1, percent: 0 }], says: 'not 0' },
    {
      why: 'below zero',
      targets: [
        { revision: 1, percent: 110 },
        { revision: 2, percent: -10 },
      ],
      says: '',
    },
    { why: 'NaN', targets: [{ revision: 1, percent: Number.NaN }], says: '' },
    {
      why: 'a revision twice',
      targets: [
        { revision: 1, percent: 50 },
        { revision: 1, percent: 50 },
      ],
      says: 'revision 1 is named twice',
    },
    {
      why: 'a tag twice',
      targets: [
        { revision: 1, percent: 50, tag: 'a' },
        { revision: 2, percent: 50, tag: 'a' },
      ],
      says: 'tag a is used twice',
    },
    { why: 'half a revision', targets: [{ revision: 1.5, percent: 100 }], says: '' },
    { why: 'revision 0', targets: [{ revision: 0, percent: 100 }], says: '' },
    { why: 'a tag that is no name', targets: [{ revision: 1, percent: 100, tag: 'A b' }], says: 'use 1 to 63' },
    { why: 'a word too much', targets: [{ revision: 1, percent: 100, shadow: true }], says: '' },
  ])('refuses $why', ({ targets, says }) => {
    const parsed = trafficSchema.safeParse(targets);
    expect(parsed.success).toBe(false);
    expect(parsed.error?.issues.map((issue) => issue.message).join('; ')).toContain(says);
  });
});

describe('scalingSchema', () => {
  it.each([
    { why: 'more least than most', scaling: { minReplicas: 3 }, says: 'must be at most maxReplicas' },
    { why: 'no concurrency', scaling: { concurrency: 0 }, says: '' },
    { why: 'half a replica', scaling: { maxReplicas: 1.5 }, says: '' },
    { why: 'no replicas', scaling: { maxReplicas: 0 }, says: '' },
    { why: 'utilization over 1', scaling: { targetUtilization: 1.01 }, says: '' },
    { why: 'a window below the panic window', scaling: { stableWindowSec: 5 }, says: '' },
    { why: 'an unknown word', scaling: { replicas: 1 }, says: '' },
  ])('refuses $why', ({ scaling, says }) => {
    const parsed = scalingSchema.safeParse(scaling);
    expect(parsed.success).toBe(false);
    expect(parsed.error?.issues[0]?.message).toContain(says);
  });

  it('never gives what the autoscaler refuses: one bad endpoint must not stop a gateway from reading its routing', () => {
    const random = seeded(8);
    const between = (low: number, high: number) => low + Math.floor(random() * random() * (high - low + 1));
    for (let round = 0; round < 3000; round++) {
      const maxReplicas = between(1, 1000);
      const scaling = scalingSchema.parse({
        minReplicas: between(0, maxReplicas),
        maxReplicas,
        concurrency: between(1, 1000),
        targetUtilization: 0.05 + random() * 0.95,
        stableWindowSec: between(6, 3600),
        scaleDownDelaySec: between(0, 3600),
        scaleToZeroGraceSec: random() * 3600,
      });
      expect(() =>
        scalingSettings({
          containerConcurrency: scaling.concurrency,
          targetUtilization: scaling.targetUtilization,
          stableWindowSec: scaling.stableWindowSec,
          scaleDownDelaySec: scaling.scaleDownDelaySec,
          minReplicas: scaling.minReplicas,
          maxReplicas: scaling.maxReplicas,
          scaleToZeroGraceSec: scaling.scaleToZeroGraceSec,
          initialReplicas: 0,
          targetBurstCapacity: -1,
        }),
      ).not.toThrow();
    }
  });
});

describe('endpointSpecSchema', () => {
  it('needs a name and a model, and fills in everything else', () => {
    expect(endpointSpecSchema.parse({ name: 'digits', model: 'digits' })).toMatchObject({
      access: 'key',
      scaling: { minReplicas: 0, maxReplicas: 2, concurrency: 64, targetUtilization: 0.7, stableWindowSec: 60 },
      routing: {},
      policy: { auto: true, gates: [{ kind: 'signature' }], rollout: { bakeSec: 300 } },
    });
  });

  it.each(['', 'Digits', '-a', 'a-', 'a_b', 'a/b', 'x'.repeat(64), 'é'])('refuses the name %j', (name) => {
    expect(endpointSpecSchema.safeParse({ name, model: 'digits' }).success).toBe(false);
  });

  it('headers have no case', () => {
    expect(routingSchema.parse({ stickyHeader: 'X-User-Id' })).toEqual({ stickyHeader: 'x-user-id' });
    expect(routingSchema.safeParse({ stickyHeader: 'x user' }).success).toBe(false);
    expect(routingSchema.safeParse({ stickyHeader: '' }).success).toBe(false);
  });
});
