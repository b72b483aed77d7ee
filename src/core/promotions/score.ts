/** Scores of predictions against expected values, for gates. Pure. */
import { AppError } from '../../errors.js';

export const METRICS = ['accuracy', 'f1_macro', 'rmse', 'mae', 'r2'] as const;
export type Metric = (typeof METRICS)[number];

type Label = number | string | boolean;

export const HIGHER_IS_BETTER: Record<Metric, boolean> = {
  accuracy: true,
  f1_macro: true,
  rmse: false,
  mae: false,
  r2: true,
};

/** Scores `predicted` against `expected`, one value per row; both must be of the same, non-zero length. */
export function score(metric: Metric, predicted: readonly Label[], expected: readonly Label[]): number {
  if (predicted.length !== expected.length || expected.length === 0) {
    throw new AppError(
      'invalid',
      `the model gave ${predicted.length} predictions for ${expected.length} expected values`,
    );
  }
  switch (metric) {
    case 'accuracy':
      return expected.filter((value, at) => same(value, predicted[at])).length / expected.length;
    case 'f1_macro':
      return f1Macro(predicted, expected);
    case 'rmse':
      return Math.sqrt(mean(errors(predicted, expected).map((error) => error * error)));
    case 'mae':
      return mean(errors(predicted, expected).map(Math.abs));
    case 'r2': {
      const average = mean(expected.map(Number));
      const spread = expected.reduce<number>((sum, value) => sum + (Number(value) - average) ** 2, 0);
      const left = errors(predicted, expected).reduce((sum, error) => sum + error * error, 0);
      return spread === 0 ? Number.NaN : 1 - left / spread;
    }
  }
}

/** Unweighted mean of the F1 score of every class that is expected or predicted. */
function f1Macro(predicted: readonly Label[], expected: readonly Label[]): number {
  const classes = new Set([...predicted, ...expected].map(String));
  const scores = [...classes].map((name) => {
    let hit = 0;
    let seen = 0;
    let said = 0;
    expected.forEach((value, at) => {
      const is = String(value) === name;
      const says = String(predicted[at]) === name;
      if (is) seen++;
      if (says) said++;
      if (is && says) hit++;
    });
    return seen + said === 0 ? 0 : (2 * hit) / (seen + said);
  });
  return mean(scores);
}

function errors(predicted: readonly Label[], expected: readonly Label[]): number[] {
  return expected.map((value, at) => Number(predicted[at]) - Number(value));
}

function same(a: Label, b: Label | undefined): boolean {
  return a === b || String(a) === String(b);
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
