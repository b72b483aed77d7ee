import { describe, expect, it } from 'vitest';
import { HIGHER_IS_BETTER, METRICS, type Metric, score } from './score.js';

describe('score', () => {
  it.each<{ why: string; metric: Metric; predicted: (number | string)[]; expected: (number | string)[]; is: number }>([
    { why: 'all right', metric: 'accuracy', predicted: [1, 2], expected: [1, 2], is: 1 },
    { why: 'half right', metric: 'accuracy', predicted: [1, 3], expected: [1, 2], is: 0.5 },
    { why: 'classes by name', metric: 'accuracy', predicted: ['cat', 'dog'], expected: ['cat', 'cat'], is: 0.5 },
    { why: '64-bit labels come as text', metric: 'accuracy', predicted: ['1', 2], expected: [1, '2'], is: 1 },
    // class 0: 2/3, class 1: 4/5 (scikit-learn: f1_score([0,0,1,1,1],[0,1,1,1,1] swapped), average='macro')
    { why: 'two classes', metric: 'f1_macro', predicted: [0, 1, 1, 1, 1], expected: [0, 0, 1, 1, 1], is: 16 / 21 },
    { why: 'a class never predicted counts 0', metric: 'f1_macro', predicted: [0, 0], expected: [0, 1], is: 1 / 3 },
    { why: 'a class never expected counts 0', metric: 'f1_macro', predicted: [0, 2], expected: [0, 0], is: 1 / 3 },
    { why: 'nothing off', metric: 'rmse', predicted: [1, 2], expected: [1, 2], is: 0 },
    { why: 'squares', metric: 'rmse', predicted: [0, 0], expected: [3, 4], is: Math.sqrt(12.5) },
    { why: 'both signs', metric: 'mae', predicted: [1, -1], expected: [0, 0], is: 1 },
    { why: 'perfect', metric: 'r2', predicted: [1, 2, 3], expected: [1, 2, 3], is: 1 },
    { why: 'the mean explains nothing', metric: 'r2', predicted: [2, 2, 2], expected: [1, 2, 3], is: 0 },
    { why: 'worse than the mean', metric: 'r2', predicted: [3, 2, 1], expected: [1, 2, 3], is: -3 },
    { why: 'nothing varies: no number', metric: 'r2', predicted: [1, 1], expected: [1, 1], is: Number.NaN },
    { why: 'a word is no number', metric: 'rmse', predicted: ['cat'], expected: [1], is: Number.NaN },
  ])('$metric: $why', ({ metric, predicted, expected, is }) => {
    const got = score(metric, predicted, expected);
    if (Number.isNaN(is)) expect(got).toBeNaN();
    else expect(got).toBeCloseTo(is, 12);
  });

  it.each([
    { predicted: [], expected: [] },
    { predicted: [1], expected: [1, 2] },
  ])('refuses $predicted for $expected', ({ predicted, expected }) => {
    for (const metric of METRICS) {
      expect(() => score(metric, predicted, expected)).toThrowError(expect.objectContaining({ code: 'invalid' }));
    }
  });

  it('knows which way is better', () => {
    for (const metric of METRICS) {
      const [perfect, bad] = [score(metric, [0, 1, 2], [0, 1, 2]), score(metric, [2, 1, 1], [0, 1, 2])];
      expect(perfect > bad, metric).toBe(HIGHER_IS_BETTER[metric]);
    }
  });
});
