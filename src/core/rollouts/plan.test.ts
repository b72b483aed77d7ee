import { describe, expect, it } from 'vitest';
import { isConcurrent, rolloutPlanSchema, stanceAt, stepsOf } from './plan.js';

const plan = (written: object) => rolloutPlanSchema.parse(written);

describe('stepsOf', () => {
  it.each([
    {
      why: 'a canary with copies, a pause and an analysis',
      written: {
        steps: [
          { scale: { replicas: 'match' } },
          { shadowPercent: 100, holdSec: 5 },
          { pause: {} },
          { percent: 5, analyse: false },
          { pause: { durationSec: 60 } },
          { analysis: { minRequests: 500 } },
        ],
      },
      replicas: 3,
      is: [
        { kind: 'scale', replicas: 'match' },
        { kind: 'shadow', percent: 100, holdSec: 5 },
        { kind: 'pause', durationSec: undefined },
        { kind: 'weight', percent: 5, holdSec: 10, analyse: false },
        { kind: 'pause', durationSec: 60 },
        { kind: 'analysis', minRequests: 500 },
      ],
    },
    {
      why: 'blue/green',
      written: { strategy: 'blue_green' },
      replicas: 3,
      is: [
        { kind: 'scale', replicas: 'match' },
        { kind: 'weight', percent: 100, holdSec: 60, analyse: true },
      ],
    },
    {
      why: 'blue/green that a person tries first',
      written: { strategy: 'blue_green', blueGreen: { previewSec: 30, autoSwitch: false, shadowPercent: 50 } },
      replicas: 3,
      is: [
        { kind: 'scale', replicas: 'match' },
        { kind: 'shadow', percent: 50, holdSec: 30 },
        { kind: 'pause', durationSec: undefined },
        { kind: 'weight', percent: 100, holdSec: 60, analyse: true },
      ],
    },
    {
      why: 'in place: as many replicas as the share, and never none for either',
      written: { surge: 'in_place', steps: [{ percent: 1 }, { percent: 20 }, { percent: 99 }] },
      replicas: 4,
      is: [
        { kind: 'room', stable: 3 },
        { kind: 'grow', candidate: 1 },
        { kind: 'weight', percent: 1, holdSec: 10, analyse: true },
        { kind: 'weight', percent: 20, holdSec: 10, analyse: true },
        { kind: 'room', stable: 1 },
        { kind: 'grow', candidate: 3 },
        { kind: 'weight', percent: 99, holdSec: 10, analyse: true },
      ],
    },
    {
      why: 'in place of a single replica is recreate',
      written: { surge: 'in_place', steps: [{ percent: 10, holdSec: 7 }] },
      replicas: 1,
      is: [
        { kind: 'room', stable: 0 },
        { kind: 'grow', candidate: 1 },
        { kind: 'weight', percent: 100, holdSec: 7, analyse: true },
      ],
    },
  ])('$why', ({ written, replicas, is }) => {
    expect(stepsOf(plan(written), replicas)).toEqual(is);
  });

  it('reads plans of before there was a strategy', () => {
    const { strategy: _, surge: __, ...old } = plan({ steps: [{ percent: 10, holdSec: 0 }] });
    expect(stepsOf(old as ReturnType<typeof plan>, 1)).toHaveLength(1);
  });
});

describe('stanceAt', () => {
  it('copies go on until the next share', () => {
    const steps = stepsOf(plan({ steps: [{ shadowPercent: 40 }, { pause: {} }, { percent: 5 }, { analysis: {} }] }), 1);
    expect([-1, 0, 1, 2, 3].map((step) => stanceAt(steps, step))).toEqual([
      { percent: 0, shadow: 0 },
      { percent: 0, shadow: 40 },
      { percent: 0, shadow: 40 },
      { percent: 5, shadow: 0 },
      { percent: 5, shadow: 0 },
    ]);
  });

  it('what comes while there is room for one waits for the candidate', () => {
    const steps = stepsOf(plan({ surge: 'recreate' }), 4);
    expect(steps.map((_, at) => stanceAt(steps, at).percent)).toEqual([100, 100, 100]);
  });
});

describe('isConcurrent', () => {
  it.each([
    { written: {}, replicas: 1, is: true },
    { written: { strategy: 'blue_green' }, replicas: 1, is: false },
    { written: { surge: 'recreate' }, replicas: 4, is: false },
    { written: { surge: 'in_place' }, replicas: 4, is: true },
    { written: { surge: 'in_place' }, replicas: 1, is: false },
  ])('$written with $replicas replicas: $is', ({ written, replicas, is }) => {
    expect(isConcurrent(plan(written), replicas)).toBe(is);
  });
});

describe('rolloutPlanSchema refuses', () => {
  it.each([
    { why: 'a step of two kinds', written: { steps: [{ percent: 5, pause: {} }] }, says: 'percent and pause' },
    { why: 'a step of none', written: { steps: [{ holdSec: 5 }] }, says: 'this one has none' },
    { why: 'a time where it means nothing', written: { steps: [{ pause: {}, holdSec: 5 }] }, says: 'means nothing' },
    { why: 'steps of blue/green', written: { strategy: 'blue_green', steps: [{ percent: 5 }] }, says: 'canary' },
    { why: 'blue/green settings of a canary', written: { blueGreen: {} }, says: 'blue_green' },
    { why: 'blue/green without room', written: { strategy: 'blue_green', surge: 'recreate' }, says: 'needs room' },
    {
      why: 'copies where there is no room for them',
      written: { surge: 'in_place', steps: [{ shadowPercent: 5 }, { percent: 5 }] },
      says: 'shares and pauses',
    },
    {
      why: 'shares that shrink, whatever is between them',
      written: { steps: [{ percent: 50 }, { pause: {} }, { percent: 10 }] },
      says: '10 follows 50',
    },
  ])('$why', ({ written, says }) => {
    const { error } = rolloutPlanSchema.safeParse(written);
    expect(error?.issues.map(({ message }) => message).join('; ')).toContain(says);
  });
});
