import { describe, expect, it } from 'vitest';
import type { Verdict } from './analysis.js';
import { rolloutPlanSchema, stepsOf } from './plan.js';
import { decideRollout, type RolloutFacts } from './rollout.js';

const UNCLEAR: Verdict = { kind: 'unclear', reason: 'too few requests' };
const NOT_WORSE: Verdict = { kind: 'not_worse', reason: 'as good' };
const WORSE: Verdict = { kind: 'worse', reason: 'more errors' };

const plan = rolloutPlanSchema.parse({ readyTimeoutSec: 60, maxStepSec: 600 });
const T0 = 1_700_000_000_000;

const starting: RolloutFacts = {
  kind: 'rollout',
  plan,
  steps: stepsOf(plan, 1),
  state: 'running',
  step: -1,
  stepStartedAt: T0,
  now: T0 + 5000,
  candidateReady: 0,
  candidateMax: 4,
  stableReady: 2,
  stableHeld: 2,
  verdict: UNCLEAR,
  candidateInStep: 0,
  candidateSeen: 0,
};

const good: RolloutFacts = {
  ...starting,
  step: 0,
  now: T0 + 20_000,
  candidateReady: 1,
  verdict: NOT_WORSE,
  candidateInStep: 1000,
  candidateSeen: 1000,
};

describe('decideRollout', () => {
  it.each<{ why: string; facts: RolloutFacts; gives: Record<string, unknown> }>([
    { why: 'waits for the candidate', facts: starting, gives: { kind: 'hold' } },
    { why: 'not for ever', facts: { ...starting, now: T0 + 60_001 }, gives: { kind: 'roll_back' } },
    { why: 'to the second', facts: { ...starting, now: T0 + 60_000 }, gives: { kind: 'hold' } },
    {
      why: 'a candidate that cannot start goes back at once',
      facts: { ...starting, candidateProblem: 'no such file' },
      gives: { kind: 'roll_back', reason: 'the candidate does not start: no such file' },
    },
    {
      why: 'a ready candidate gets its first share',
      facts: { ...starting, candidateReady: 1 },
      gives: { kind: 'step', step: 0 },
    },
    {
      why: 'not while paused',
      facts: { ...starting, candidateReady: 1, state: 'paused' },
      gives: { kind: 'hold', reason: 'paused' },
    },
    { why: 'good evidence, time over: next step', facts: good, gives: { kind: 'step', step: 1 } },
    {
      why: 'a candidate whose replicas are gone gets no more',
      facts: { ...good, candidateReady: 0 },
      gives: { kind: 'hold', reason: 'no replica of the candidate is ready now' },
    },
    { why: 'nor everything', facts: { ...good, step: 1, candidateReady: 0 }, gives: { kind: 'hold' } },
    { why: 'the last step leads to the promotion', facts: { ...good, step: 1 }, gives: { kind: 'promote' } },
    { why: 'holds for the least time', facts: { ...good, now: T0 + 9999 }, gives: { kind: 'hold' } },
    { why: 'and no longer', facts: { ...good, now: T0 + 10_000 }, gives: { kind: 'step' } },
    {
      why: 'too few requests in this step hold, whatever came before',
      facts: { ...good, candidateInStep: 99 },
      gives: { kind: 'hold', reason: '99 of at least 100 requests seen in this step' },
    },
    {
      why: 'no traffic at all is never a promotion',
      facts: { ...good, step: 1, verdict: UNCLEAR, candidateInStep: 0 },
      gives: { kind: 'hold' },
    },
    { why: 'without a clear verdict: hold', facts: { ...good, verdict: UNCLEAR }, gives: { kind: 'hold' } },
    {
      why: 'a regression ends it before the least time',
      facts: { ...good, now: T0 + 1000, verdict: WORSE },
      gives: { kind: 'roll_back' },
    },
    {
      why: 'a regression ends it with few requests in the step',
      facts: { ...good, candidateInStep: 3, verdict: WORSE },
      gives: { kind: 'roll_back' },
    },
    {
      why: 'a regression ends it while paused',
      facts: { ...good, state: 'paused', verdict: WORSE },
      gives: { kind: 'roll_back' },
    },
    { why: 'paused holds', facts: { ...good, state: 'paused' }, gives: { kind: 'hold', reason: 'paused' } },
    {
      why: 'paused does not time out',
      facts: { ...good, state: 'paused', now: T0 + 1e9, candidateInStep: 0 },
      gives: { kind: 'hold' },
    },
    {
      why: 'no clear verdict in time: pause by default',
      facts: { ...good, now: T0 + 600_001, candidateInStep: 5 },
      gives: { kind: 'pause' },
    },
    {
      why: 'or back where that is asked for',
      facts: { ...good, plan: { ...plan, onInconclusive: 'roll_back' }, now: T0 + 600_001, candidateInStep: 5 },
      gives: { kind: 'roll_back' },
    },
    {
      why: 'a clear verdict at the last moment still counts',
      facts: { ...good, now: T0 + 600_001 },
      gives: { kind: 'step', step: 1 },
    },
    {
      why: 'a step that the plan does not have ends as a promotion only on evidence',
      facts: { ...good, step: 7, verdict: UNCLEAR },
      gives: { kind: 'hold' },
    },
  ])('$why', ({ facts, gives }) => {
    expect(decideRollout(facts)).toMatchObject(gives);
  });
});

describe('rolloutPlanSchema', () => {
  it('has a default that works', () => {
    expect(stepsOf(rolloutPlanSchema.parse({}), 1)).toEqual([
      { kind: 'weight', percent: 10, holdSec: 10, analyse: true },
      { kind: 'weight', percent: 50, holdSec: 10, analyse: true },
    ]);
  });

  it.each([
    { why: 'no steps', plan: { steps: [] } },
    { why: '0 %', plan: { steps: [{ percent: 0 }] } },
    { why: '100 %, which is the promotion', plan: { steps: [{ percent: 100 }] } },
    { why: 'shrinking', plan: { steps: [{ percent: 50 }, { percent: 10 }] } },
    { why: 'standing still', plan: { steps: [{ percent: 50 }, { percent: 50 }] } },
    { why: 'NaN', plan: { steps: [{ percent: Number.NaN }] } },
    { why: 'an unknown word', plan: { pause: true } },
    { why: 'an alpha of 1', plan: { analysis: { alpha: 1 } } },
    { why: 'a time below zero', plan: { bakeSec: -1 } },
    { why: 'more than 50 steps', plan: { steps: Array.from({ length: 51 }, (_, at) => ({ percent: at + 1 })) } },
  ])('refuses $why', ({ plan: given }) => {
    expect(rolloutPlanSchema.safeParse(given).success).toBe(false);
  });
});
