/** What was measured elsewhere, by Prometheus or a webhook, and what it means for a rollout. Pure. */
import { type AskedMetric, nameOf } from './plan.js';
import type { MetricVerdict, Verdict, VerdictKind } from './verdict.js';

/** What is known of a metric that is asked elsewhere: the last answer, and what came in a row. */
export interface Measured {
  /** Of the last answer that was one; undefined before there is any. */
  readonly kind: VerdictKind | undefined;
  readonly reason: string;
  readonly value: number | undefined;
  /** When it came, in milliseconds since the epoch. */
  readonly at: number;
  /** Bad answers in a row. */
  readonly failures: number;
  /** Tries in a row that gave no answer, and why the last one did not. */
  readonly errors: number;
  readonly problem: string;
}

export const NOT_MEASURED: Measured = {
  kind: undefined,
  reason: '',
  value: undefined,
  at: 0,
  failures: 0,
  errors: 0,
  problem: '',
};

/** One measurement: an answer, or why there is none. */
export type Measurement = (Verdict & { readonly value?: number | undefined }) | { readonly problem: string };

/** Tries without an answer, in a row, that leave the last answer standing. */
export const ERROR_LIMIT = 4;
/** The longest that a try may take. */
export const ASK_MS = 10_000;

/** What is known after one more measurement. */
export function withMeasurement(before: Measured, measurement: Measurement, now: number): Measured {
  if ('problem' in measurement) return { ...before, errors: before.errors + 1, problem: measurement.problem };
  const { kind, reason, value } = measurement;
  const failures = kind === 'worse' ? before.failures + 1 : kind === 'not_worse' ? 0 : before.failures;
  return { kind, reason, value, at: now, failures, errors: 0, problem: '' };
}

/** The verdict of a metric that is asked elsewhere. Without an answer of late it never passes. */
export function judgeAsked(metric: AskedMetric, measured: Measured = NOT_MEASURED, now: number): MetricVerdict {
  const verdict = (kind: VerdictKind, words: string): MetricVerdict => ({
    metric: nameOf(metric),
    measures: metric.kind,
    kind,
    words,
    ...(measured.value === undefined ? {} : { value: measured.value }),
  });
  const { kind, reason, failures, errors, problem, at } = measured;
  if (failures > metric.failureLimit)
    return verdict('worse', failures === 1 ? reason : `${reason}, ${failures} times in a row`);
  if (errors > ERROR_LIMIT) return verdict('unclear', `not measured ${errors} times in a row: ${problem}`);
  if (kind === undefined) return verdict('unclear', problem === '' ? 'not measured yet' : `not measured: ${problem}`);
  if (kind === 'worse')
    return verdict('unclear', `${reason}, ${failures} of at most ${metric.failureLimit} times in a row`);
  const oldest = now - (metric.intervalSec * 1000 + ASK_MS) * (ERROR_LIMIT + 1);
  if (at < oldest) return verdict('unclear', `last measured at ${new Date(at).toISOString()}: ${reason}`);
  return verdict(kind, reason);
}

/** Whether a measured value keeps within the bounds that a plan sets. NaN is no value. */
export function judgeValue(
  bounds: { readonly min?: number | undefined; readonly max?: number | undefined },
  value: number | undefined,
  what: string,
): Verdict & { value?: number } {
  if (value === undefined || Number.isNaN(value)) return { kind: 'unclear', reason: `${what} has no data` };
  const { min, max } = bounds;
  if (max !== undefined && value > max) return { kind: 'worse', reason: `${what} is ${value}, above ${max}`, value };
  if (min !== undefined && value < min) return { kind: 'worse', reason: `${what} is ${value}, below ${min}`, value };
  const within = [
    ...(min === undefined ? [] : [`at least ${min}`]),
    ...(max === undefined ? [] : [`at most ${max}`]),
  ].join(' and ');
  return { kind: 'not_worse', reason: `${what} is ${value}, ${within}`, value };
}

/** A text as JSON; undefined where it is none. */
export function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
