import { describe, expect, it } from 'vitest';
import { HIGHER_IS_BETTER, METRICS, type Metric, score } from './score.js';

const of = (values: readonly (number | string)[], width = 1) => ({ values, width });

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
    { why: 'the positive class alone', metric: 'f1', predicted: [0, 1, 1, 1], expected: [0, 0, 1, 1], is: 0.8 },
    { why: 'squares, without the root', metric: 'mse', predicted: [0, 0], expected: [3, 4], is: 12.5 },
    // scikit-learn's own example: roc_auc_score([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    { why: 'pairs in order', metric: 'auc', predicted: [0.1, 0.4, 0.35, 0.8], expected: [0, 0, 1, 1], is: 0.75 },
    { why: 'ties count half', metric: 'auc', predicted: [0.5, 0.5, 0.5, 0.5], expected: [0, 1, 0, 1], is: 0.5 },
    { why: 'one class only: no number', metric: 'auc', predicted: [0.1, 0.2], expected: [1, 1], is: Number.NaN },
    {
      why: 'of two classes',
      metric: 'logloss',
      predicted: [0.9, 0.2],
      expected: [1, 0],
      is: -(Math.log(0.9) + Math.log(0.8)) / 2,
    },
    {
      why: 'a certain error costs much, not all',
      metric: 'logloss',
      predicted: [0],
      expected: [1],
      is: -Math.log(1e-15),
    },
    { why: 'nothing off', metric: 'rmse', predicted: [1, 2], expected: [1, 2], is: 0 },
    { why: 'squares', metric: 'rmse', predicted: [0, 0], expected: [3, 4], is: Math.sqrt(12.5) },
    { why: 'both signs', metric: 'mae', predicted: [1, -1], expected: [0, 0], is: 1 },
    { why: 'perfect', metric: 'r2', predicted: [1, 2, 3], expected: [1, 2, 3], is: 1 },
    { why: 'the mean explains nothing', metric: 'r2', predicted: [2, 2, 2], expected: [1, 2, 3], is: 0 },
    { why: 'worse than the mean', metric: 'r2', predicted: [3, 2, 1], expected: [1, 2, 3], is: -3 },
    { why: 'nothing varies: no number', metric: 'r2', predicted: [1, 1], expected: [1, 1], is: Number.NaN },
    { why: 'a word is no number', metric: 'rmse', predicted: ['cat'], expected: [1], is: Number.NaN },
  ])('$metric: $why', ({ metric, predicted, expected, is }) => {
    const got = score(metric, of(predicted), expected);
    if (Number.isNaN(is)) expect(got).toBeNaN();
    else expect(got).toBeCloseTo(is, 12);
  });

  it.each([
    { predicted: [], expected: [] },
    { predicted: [1], expected: [1, 2] },
  ])('refuses $predicted for $expected', ({ predicted, expected }) => {
    for (const metric of METRICS) {
      expect(() => score(metric, of(predicted), expected)).toThrowError(expect.objectContaining({ code: 'invalid' }));
    }
  });

  it('takes a probability for each class', () => {
    expect(score('logloss', of([0.2, 0.3, 0.5, 0.6, 0.3, 0.1], 3), [2, 0])).toBeCloseTo(
      -(Math.log(0.5) + Math.log(0.6)) / 2,
    );
    expect(score('auc', of([0.9, 0.1, 0.2, 0.8], 2), [0, 1])).toBe(1);
    expect(() => score('accuracy', of([0.9, 0.1], 2), [0])).toThrow('needs one value for each row; the output has 2');
    expect(() => score('auc', of([1, 2, 3], 3), [0])).toThrow('two classes');
    expect(() => score('logloss', of([0.5, 0.5], 2), [2])).toThrow('row 0 expects class 2');
  });

  it('knows which way is better', () => {
    for (const metric of METRICS) {
      const [perfect, bad] = [score(metric, of([0, 0.4, 1]), [0, 0, 1]), score(metric, of([1, 0.4, 0]), [0, 0, 1])];
      expect(perfect > bad, metric).toBe(HIGHER_IS_BETTER[metric]);
    }
  });
});
