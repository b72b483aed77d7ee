/** Scores of predictions against expected values, for gates. Pure. */
import { AppError } from '../../errors.js';

export const METRICS = ['accuracy', 'f1', 'f1_macro', 'auc', 'logloss', 'mse', 'rmse', 'mae', 'r2'] as const;
export type Metric = (typeof METRICS)[number];

export type Label = number | string | boolean;

export const HIGHER_IS_BETTER: Record<Metric, boolean> = {
  accuracy: true,
  f1: true,
  f1_macro: true,
  auc: true,
  logloss: false,
  mse: false,
  rmse: false,
  mae: false,
  r2: true,
};

/** Metrics of scores and probabilities, of which a row may have one for each class. */
export const OF_SCORES: ReadonlySet<Metric> = new Set(['auc', 'logloss']);

/** What a model gave: one value for each row, or `width` of them. */
export interface Predicted {
  readonly values: readonly Label[];
  readonly width: number;
}

/** A probability of 0 would cost infinitely much; scikit-learn clips too. */
const LEAST_PROBABILITY = 1e-15;

/** Scores `predicted` against `expected`; `invalid` where they do not fit. */
export function score(metric: Metric, predicted: Predicted, expected: readonly Label[]): number {
  checkFit(metric, predicted, expected);
  const losses = rowLosses(metric, predicted, expected);
  if (losses) return ofLosses(metric, mean(losses));
  const { values } = predicted;
  switch (metric) {
    case 'f1':
      return f1(values, expected, isPositive);
    case 'f1_macro': {
      const classes = [...new Set([...values, ...expected].map(String))];
      return mean(classes.map((name) => f1(values, expected, (label) => String(label) === name)));
    }
    case 'auc':
      return auc(positiveScores(predicted), expected.map(isPositive));
    default: {
      const average = mean(expected.map(Number));
      const spread = expected.reduce<number>((sum, value) => sum + (Number(value) - average) ** 2, 0);
      const left = errors(values, expected).reduce((sum, error) => sum + error * error, 0);
      return spread === 0 ? Number.NaN : 1 - left / spread;
    }
  }
}

/** What each row adds to a metric that is made of a mean over rows; undefined for other metrics. */
export function rowLosses(metric: Metric, predicted: Predicted, expected: readonly Label[]): number[] | undefined {
  switch (metric) {
    case 'accuracy':
      return expected.map((value, at) => (same(value, predicted.values[at]) ? 0 : 1));
    case 'mae':
      return errors(predicted.values, expected).map(Math.abs);
    case 'mse':
    case 'rmse':
      return errors(predicted.values, expected).map((error) => error * error);
    case 'logloss':
      return logLosses(predicted, expected);
    default:
      return undefined;
  }
}

/** The metric that a mean of row losses stands for. */
export function ofLosses(metric: Metric, meanLoss: number): number {
  if (metric === 'accuracy') return 1 - meanLoss;
  return metric === 'rmse' ? Math.sqrt(meanLoss) : meanLoss;
}

/** These rows alone. */
export function pick(predicted: Predicted, rows: ArrayLike<number>): Predicted {
  const { values, width } = predicted;
  const picked: Label[] = [];
  for (let at = 0; at < rows.length; at++)
    for (let column = 0; column < width; column++) picked.push(values[(rows[at] as number) * width + column] as Label);
  return { values: picked, width };
}

function checkFit(metric: Metric, { values, width }: Predicted, expected: readonly Label[]): void {
  if (values.length !== expected.length * width || expected.length === 0)
    throw new AppError('invalid', `the model gave ${values.length} predictions for ${expected.length} expected values`);
  if (width !== 1 && !OF_SCORES.has(metric))
    throw new AppError('invalid', `${metric} needs one value for each row; the output has ${width}`);
  if (metric === 'auc' && width > 2)
    throw new AppError('invalid', `auc is of two classes; the output has scores of ${width}`);
}

function logLosses(predicted: Predicted, expected: readonly Label[]): number[] {
  const { values, width } = predicted;
  return expected.map((label, row) => {
    let probability: number;
    if (width === 1) {
      const positive = Number(values[row]);
      probability = isPositive(label) ? positive : 1 - positive;
    } else {
      const column = Number(label);
      if (!Number.isInteger(column) || column < 0 || column >= width)
        throw new AppError('invalid', `row ${row} expects class ${label}; the output has classes 0 to ${width - 1}`);
      probability = Number(values[row * width + column]);
    }
    return -Math.log(Math.min(1, Math.max(LEAST_PROBABILITY, probability)));
  });
}

/** The score of the positive class of each row: the only one, or the second of two. */
function positiveScores({ values, width }: Predicted): number[] {
  const scores: number[] = [];
  for (let at = width - 1; at < values.length; at += width) scores.push(Number(values[at]));
  return scores;
}

/** Area under the ROC curve: the chance that a positive row scores above a negative one, ties by half (Mann-Whitney). */
function auc(scores: readonly number[], positive: readonly boolean[]): number {
  const order = scores.map((_, at) => at).sort((a, b) => (scores[a] ?? 0) - (scores[b] ?? 0));
  const positives = positive.filter(Boolean).length;
  const negatives = positive.length - positives;
  let rankSum = 0;
  for (let from = 0; from < order.length; ) {
    let to = from;
    while (to < order.length && scores[order[to] as number] === scores[order[from] as number]) to++;
    // NaN equals nothing, itself included
    if (to === from) return Number.NaN;
    const rank = (from + 1 + to) / 2;
    for (let at = from; at < to; at++) if (positive[order[at] as number]) rankSum += rank;
    from = to;
  }
  return positives === 0 || negatives === 0
    ? Number.NaN
    : (rankSum - (positives * (positives + 1)) / 2) / (positives * negatives);
}

function f1(predicted: readonly Label[], expected: readonly Label[], is: (label: Label) => boolean): number {
  let hit = 0;
  let seen = 0;
  let said = 0;
  expected.forEach((value, at) => {
    const really = is(value);
    const says = is(predicted[at] as Label);
    if (really) seen++;
    if (says) said++;
    if (really && says) hit++;
  });
  return seen + said === 0 ? 0 : (2 * hit) / (seen + said);
}

/** Of two classes the one that is called 1 or true. */
function isPositive(label: Label): boolean {
  return label === true || String(label) === 'true' || Number(label) === 1;
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
