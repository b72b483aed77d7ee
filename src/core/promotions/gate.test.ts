import { describe, expect, it } from 'vitest';
import type { Signature } from '../../protocol/signature.js';
import { gateSchema } from './gate.js';
import { judgeBounds, judgeScore, judgeSignature, type ScoreBounds } from './judge.js';

describe('judgeBounds', () => {
  it.each([
    { why: 'no bounds', value: 0.5, gate: {}, passed: true },
    { why: 'on the floor', value: 0.9, gate: { min: 0.9 }, passed: true },
    { why: 'below the floor', value: 0.8999, gate: { min: 0.9 }, passed: false },
    { why: 'on the ceiling', value: 2, gate: { max: 2 }, passed: true },
    { why: 'above the ceiling', value: 2.001, gate: { max: 2 }, passed: false },
    { why: 'between', value: 1, gate: { min: 0, max: 2 }, passed: true },
    { why: 'a floor of 0 is a floor', value: -1, gate: { min: 0 }, passed: false },
    { why: 'missing', value: undefined, gate: {}, passed: false },
    { why: 'NaN, even without bounds', value: Number.NaN, gate: {}, passed: false },
    { why: 'infinite', value: Number.POSITIVE_INFINITY, gate: { min: 0.5 }, passed: false },
  ])('$why', ({ value, gate, passed }) => {
    const outcome = judgeBounds('accuracy', value, gate);
    expect(outcome.passed).toBe(passed);
    expect(outcome.reason).toContain('accuracy');
  });
});

describe('judgeScore', () => {
  const gate = (more: object) => ({ metric: 'accuracy', ...more }) as ScoreBounds;

  it.each([
    { why: 'no champion yet', gate: gate({ minImprovement: 0.1 }), mine: 0.5, theirs: undefined, passed: true },
    { why: 'no champion, below the floor', gate: gate({ min: 0.6 }), mine: 0.5, theirs: undefined, passed: false },
    { why: 'as much worse as allowed', gate: gate({ maxRegression: 0.25 }), mine: 0.5, theirs: 0.75, passed: true },
    { why: 'worse than allowed', gate: gate({ maxRegression: 0.125 }), mine: 0.5, theirs: 0.75, passed: false },
    { why: 'no regression allowed, equal', gate: gate({ maxRegression: 0 }), mine: 0.75, theirs: 0.75, passed: true },
    { why: 'enough better', gate: gate({ minImprovement: 0.25 }), mine: 0.75, theirs: 0.5, passed: true },
    { why: 'better, not enough', gate: gate({ minImprovement: 0.25 }), mine: 0.625, theirs: 0.5, passed: false },
    { why: 'NaN is no score', gate: gate({}), mine: Number.NaN, theirs: 0.5, passed: false },
    {
      why: 'an error is better when smaller',
      gate: gate({ metric: 'rmse', minImprovement: 1 }),
      mine: 2,
      theirs: 3,
      passed: true,
    },
    {
      why: 'an error that grew',
      gate: gate({ metric: 'rmse', maxRegression: 0.5 }),
      mine: 3,
      theirs: 2,
      passed: false,
    },
    {
      why: 'the champion has no score',
      gate: gate({ maxRegression: 0.1 }),
      mine: 0.5,
      theirs: Number.NaN,
      passed: false,
    },
    { why: 'but nobody compares', gate: gate({ min: 0.1 }), mine: 0.5, theirs: Number.NaN, passed: true },
  ])('$why', ({ gate: given, mine, theirs, passed }) => {
    const outcome = judgeScore(given, { candidate: mine, champion: theirs, rows: 100 });
    expect(outcome.passed, outcome.reason).toBe(passed);
    expect(outcome.reason).not.toBe('');
  });
});

describe('judgeSignature', () => {
  const x = { name: 'x', datatype: 'FP32', shape: [-1, 4] };
  const y = { name: 'y', datatype: 'INT64', shape: [-1] };
  const was = { inputs: [x], outputs: [y] } as Signature;
  const now = (change: object) => ({ ...was, ...change }) as Signature;

  it.each([
    { why: 'nothing serves', candidate: was, serving: undefined, passed: true },
    { why: 'the same', candidate: was, serving: was, passed: true },
    { why: 'one more output', candidate: now({ outputs: [y, { ...y, name: 'p' }] }), serving: was, passed: true },
    { why: 'one output less', candidate: now({ outputs: [] }), serving: was, passed: false },
    { why: 'one more input', candidate: now({ inputs: [x, { ...x, name: 'z' }] }), serving: was, passed: false },
    { why: 'an input gone', candidate: now({ inputs: [] }), serving: was, passed: false },
    { why: 'another type in', candidate: now({ inputs: [{ ...x, datatype: 'FP64' }] }), serving: was, passed: false },
    {
      why: 'another type out',
      candidate: now({ outputs: [{ ...y, datatype: 'INT32' }] }),
      serving: was,
      passed: false,
    },
    { why: 'another rank', candidate: now({ inputs: [{ ...x, shape: [-1, 2, 2] }] }), serving: was, passed: false },
    {
      why: 'takes more than before',
      candidate: now({ inputs: [{ ...x, shape: [-1, -1] }] }),
      serving: was,
      passed: true,
    },
    {
      why: 'takes less than before',
      candidate: now({ inputs: [{ ...x, shape: [1, 4] }] }),
      serving: was,
      passed: false,
    },
    { why: 'gives less than before', candidate: now({ outputs: [{ ...y, shape: [1] }] }), serving: was, passed: true },
    {
      why: 'gives more than before',
      candidate: now({ outputs: [{ ...y, shape: [-1] }] }),
      serving: now({ outputs: [{ ...y, shape: [1] }] }),
      passed: false,
    },
  ])('$why', ({ candidate, serving, passed }) => {
    const outcome = judgeSignature(candidate, serving);
    expect(outcome.passed, outcome.reason).toBe(passed);
  });
});

describe('gateSchema', () => {
  it.each([
    { why: 'an unknown kind', gate: { kind: 'latency' } },
    { why: 'an unknown metric', gate: { kind: 'evaluation', dataset: 'd', metric: 'bleu' } },
    { why: 'a regression below zero', gate: { kind: 'evaluation', dataset: 'd', metric: 'mae', maxRegression: -1 } },
    { why: 'a word too much', gate: { kind: 'signature', strict: true } },
    { why: 'a dataset that is no name', gate: { kind: 'golden', dataset: '../d' } },
    { why: 'bounds that nothing can meet', gate: { kind: 'metric', name: 'm', min: 2, max: 1 } },
    {
      why: 'bounds of an evaluation that nothing can meet',
      gate: { kind: 'evaluation', dataset: 'd', metric: 'mae', min: 2, max: 1 },
    },
    { why: 'confidence in nothing', gate: { kind: 'evaluation', dataset: 'd', metric: 'mae', confidence: 0.95 } },
    {
      why: 'what no data can show',
      gate: { kind: 'evaluation', dataset: 'd', metric: 'mae', confidence: 0.95, maxRegression: 0 },
    },
    { why: 'latency without a bound', gate: { kind: 'latency' } },
    { why: 'a quantile of too few requests', gate: { kind: 'latency', maxMs: 5, quantile: 0.99 } },
    { why: 'memory without a bound', gate: { kind: 'memory' } },
    { why: 'a webhook that is no URL', gate: { kind: 'webhook', url: 'ftp://example.com' } },
    ...[
      { name: 'a', column: 'c', input: 'x', where: { equals: 1 }, min: 0 },
      { name: 'a', where: { equals: 1 }, min: 0 },
      { name: 'a', column: 'c', where: {}, min: 0 },
      { name: 'a', column: 'c', where: { equals: 1, min: 0 }, min: 0 },
      { name: 'a', column: 'c', where: { equals: 1 } },
    ].map((slice) => ({
      why: `a slice of ${JSON.stringify(slice)}`,
      gate: { kind: 'evaluation', dataset: 'd', metric: 'mae', slices: [slice] },
    })),
  ])('refuses $why', ({ gate }) => {
    expect(gateSchema.safeParse(gate).success).toBe(false);
  });

  it('fills in the tolerance', () => {
    expect(gateSchema.parse({ kind: 'golden', dataset: 'd' })).toMatchObject({ tolerance: 1e-4 });
    expect(gateSchema.parse({ kind: 'metric', name: 'm', min: 1, max: 1 })).toMatchObject({ min: 1, max: 1 });
  });
});
