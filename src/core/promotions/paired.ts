/**
 * How much better a candidate is than the champion, at least, with a confidence: both answered the same rows, so the rows
 * are compared in pairs, and what is hard for both costs neither. The samples are looked at once, so the tests are those
 * of a fixed sample, other than those of a rollout.
 */
import {
  HIGHER_IS_BETTER,
  type Label,
  type Metric,
  ofLosses,
  type Predicted,
  pick,
  rowLosses,
  score,
} from './score.js';

/** Fewer rows say nothing of the spread that a bootstrap draws on. */
export const MIN_BOOTSTRAP_ROWS = 50;
/** Rows that one bootstrap draws altogether; it draws less often from many. */
const DRAWS = 2e7;
const MOST_RESAMPLES = 2000;
const LEAST_RESAMPLES = 200;
/** Longest that the event loop is held. */
const BREATH_MS = 20;

export interface Paired {
  /** Improvement of the metric, positive where the candidate is better. */
  readonly better: number;
  /** It is at least so much, with the confidence. */
  readonly lower: number;
  readonly method: 'tango' | 'bootstrap';
  /** Of accuracy: rows that only the candidate, and only the champion has right. */
  readonly onlyCandidate?: number;
  readonly onlyChampion?: number;
}

/** Compares both on the rows; `signal` ends a long computation. */
export async function comparePaired(
  metric: Metric,
  candidate: Predicted,
  champion: Predicted,
  expected: readonly Label[],
  confidence: number,
  signal?: AbortSignal,
): Promise<Paired> {
  const sign = HIGHER_IS_BETTER[metric] ? 1 : -1;
  const better = sign * (score(metric, candidate, expected) - score(metric, champion, expected));
  const mine = rowLosses(metric, candidate, expected);
  const theirs = rowLosses(metric, champion, expected);
  const n = expected.length;
  if (metric === 'accuracy' && mine && theirs) {
    const onlyCandidate = mine.filter((loss, at) => loss < (theirs[at] ?? 0)).length;
    const onlyChampion = mine.filter((loss, at) => loss > (theirs[at] ?? 0)).length;
    const lower = tangoLower(onlyCandidate, onlyChampion, n, confidence);
    return { better, lower, method: 'tango', onlyCandidate, onlyChampion };
  }
  const improvement = (rows: Int32Array): number => {
    if (mine && theirs) {
      let a = 0;
      let b = 0;
      for (const row of rows) {
        a += mine[row] as number;
        b += theirs[row] as number;
      }
      return sign * (ofLosses(metric, a / rows.length) - ofLosses(metric, b / rows.length));
    }
    const wanted = Array.from(rows, (row) => expected[row] as Label);
    return sign * (score(metric, pick(candidate, rows), wanted) - score(metric, pick(champion, rows), wanted));
  };
  return { better, lower: await bootstrapLower(n, improvement, confidence, signal), method: 'bootstrap' };
}

/** About how many rows would show that the improvement is at least `bound`; undefined where no number will. */
export function rowsNeeded(
  rows: number,
  { better, lower }: Pick<Paired, 'better' | 'lower'>,
  bound: number,
): number | undefined {
  const away = better - bound;
  if (!(away > 0) || !Number.isFinite(lower)) return undefined;
  // what is left to chance shrinks with the root of the rows
  return Math.max(rows + 1, Math.ceil(rows * ((better - lower) / away) ** 2));
}

/**
 * The lower limit of the difference of two paired proportions: Tango's score interval (Statistics in Medicine 17, 1998),
 * which is McNemar's test where the difference is 0, with McNemar's continuity correction of one half. `b` rows only the
 * candidate has right, `c` only the champion, of `n`.
 */
export function tangoLower(b: number, c: number, n: number, confidence: number): number {
  const z = normalQuantile(confidence);
  const statistic = (delta: number): number => {
    // the most likely share of rows that only the champion has right, if the difference were delta
    const linear = -b - c + (2 * n - b + c) * delta;
    const constant = -c * delta * (1 - delta);
    const q = (Math.sqrt(Math.max(0, linear * linear - 8 * n * constant)) - linear) / (4 * n);
    const variance = n * (2 * q + delta * (1 - delta));
    const above = b - c - n * delta - 0.5;
    return variance <= 0 ? Math.sign(above) * Number.POSITIVE_INFINITY : above / Math.sqrt(variance);
  };
  let low = -1;
  let high = (b - c) / n;
  for (let step = 0; step < 60; step++) {
    const middle = (low + high) / 2;
    if (statistic(middle) >= z) low = middle;
    else high = middle;
  }
  return low;
}

/** The percentile bootstrap over rows. Its chance is the same each time, so that the same data give the same verdict. */
async function bootstrapLower(
  n: number,
  improvement: (rows: Int32Array) => number,
  confidence: number,
  signal: AbortSignal | undefined,
): Promise<number> {
  if (n < MIN_BOOTSTRAP_ROWS) return Number.NEGATIVE_INFINITY;
  const resamples = Math.max(LEAST_RESAMPLES, Math.min(MOST_RESAMPLES, Math.floor(DRAWS / n)));
  const random = chance(n);
  const rows = new Int32Array(n);
  const found: number[] = [];
  let breathed = performance.now();
  for (let again = 0; again < resamples; again++) {
    for (let at = 0; at < n; at++) rows[at] = Math.floor(random() * n);
    const value = improvement(rows);
    // a resample without one of the classes says nothing
    if (Number.isFinite(value)) found.push(value);
    if (performance.now() - breathed > BREATH_MS) {
      await new Promise((resolve) => setImmediate(resolve));
      signal?.throwIfAborted();
      breathed = performance.now();
    }
  }
  if (found.length < resamples / 2) return Number.NEGATIVE_INFINITY;
  found.sort((a, b) => a - b);
  return found[Math.max(0, Math.ceil((1 - confidence) * found.length) - 1)] as number;
}

/** Repeatable chance in [0, 1): mulberry32. */
function chance(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

/** The value below which a standard normal variable lies with probability `p`, from 0.5 on: by bisection of the error function. */
export function normalQuantile(p: number): number {
  let low = 0;
  let high = 10;
  for (let step = 0; step < 60; step++) {
    const middle = (low + high) / 2;
    if (normalBelow(middle) < p) low = middle;
    else high = middle;
  }
  return low;
}

/** P(Z ≤ z) for z ≥ 0: the error function's series of Abramowitz and Stegun 7.1.26, to 1.5e-7. */
function normalBelow(z: number): number {
  const x = z / Math.SQRT2;
  const t = 1 / (1 + 0.3275911 * x);
  const poly = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t;
  return 1 - 0.5 * poly * Math.exp(-x * x);
}
