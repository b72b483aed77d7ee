/**
 * Canary analysis: candidate against stable over the same window, by tests that stay valid however often one looks.
 *
 * Errors and slow requests are both streams of yes/no per request. Each arm gets a confidence sequence for its rate by
 * the method of mixtures (Robbins 1970): with a Beta(a, b) prior, the set of rates p whose likelihood ratio
 * B(a + s, b + f) / (B(a, b) p^s (1 - p)^f) stays below 1/alpha holds the true rate at all times at once with
 * probability 1 - alpha (Ville's inequality). Two metrics and two arms share alpha between them.
 */
import { z } from 'zod';

export const analysisSchema = z
  .object({
    minRequests: z
      .number()
      .int()
      .min(1)
      .max(1_000_000)
      .default(100)
      .describe('Candidate requests that each step must see.'),
    maxErrorIncrease: z
      .number()
      .min(0)
      .max(1)
      .default(0.02)
      .describe('Error rate above the stable revision that still passes (0.02 = two percentage points).'),
    maxSlowIncrease: z
      .number()
      .min(0)
      .max(1)
      .default(0.1)
      .describe(
        "Share of requests slower than the stable revision's usual p95, above its own share, that still passes.",
      ),
    slowFactor: z
      .number()
      .min(1)
      .max(100)
      .default(2)
      .describe('A request is slow beyond this multiple of the stable p95.'),
    alpha: z
      .number()
      .min(0.0001)
      .max(0.5)
      .default(0.05)
      .describe('Chance of rolling back an equal candidate, over the whole rollout, however often it is looked at.'),
  })
  .strict();

export type AnalysisPlan = z.infer<typeof analysisSchema>;

/** Upper bounds of the latency buckets, in milliseconds; the last bucket is open. Fine enough for quantiles to 25 %. */
export const LATENCY_BOUNDS_MS: readonly number[] = [
  0.25, 0.5, 0.75, 1, 1.5, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048,
  4096, 8192, 16384, 32768,
];

/** What one revision did in a window. */
export interface ArmStats {
  readonly requests: number;
  /** Answers of 5xx, and those that never came. A client's own mistake (4xx) is no error of the revision. */
  readonly errors: number;
  /** Counts per bucket of LATENCY_BOUNDS_MS and one more beyond the last bound. */
  readonly latency: readonly number[];
}

export const NO_STATS: ArmStats = { requests: 0, errors: 0, latency: [] };

export type Verdict = { readonly kind: 'worse' | 'not_worse' | 'unclear'; readonly reason: string };

export interface Interval {
  readonly low: number;
  readonly high: number;
}

/**
 * Compares the arms. `worse` and `not_worse` are claims with confidence 1 - alpha; anything else is `unclear`.
 * `slowMs` is what counts as slow, fixed before the comparison (a bound that follows the data would void the claim);
 * without it there is nothing to compare latency with yet, and the verdict stays `unclear`.
 */
export function compareArms(
  stable: ArmStats,
  candidate: ArmStats,
  plan: AnalysisPlan,
  slowMs: number | undefined,
): Verdict {
  const share = plan.alpha / 4;
  const errors = compareRates(
    { hits: stable.errors, total: stable.requests },
    { hits: candidate.errors, total: candidate.requests },
    plan.maxErrorIncrease,
    share,
  );
  if (errors.kind === 'worse') return { kind: 'worse', reason: `more errors: ${errors.words}` };
  if (slowMs === undefined) return { kind: 'unclear', reason: 'too few stable requests to say what is slow' };
  const limit = LATENCY_BOUNDS_MS.indexOf(slowMs);
  const slow = compareRates(
    { hits: slowerThan(stable, limit), total: stable.requests },
    { hits: slowerThan(candidate, limit), total: candidate.requests },
    plan.maxSlowIncrease,
    share,
  );
  const slowWords = `slower than ${slowMs} ms: ${slow.words}`;
  if (slow.kind === 'worse') return { kind: 'worse', reason: `more slow requests: ${slowWords}` };
  const reason = `errors: ${errors.words}; ${slowWords}`;
  return { kind: errors.kind === 'not_worse' && slow.kind === 'not_worse' ? 'not_worse' : 'unclear', reason };
}

interface Rate {
  readonly hits: number;
  readonly total: number;
}

function compareRates(stable: Rate, candidate: Rate, margin: number, alpha: number): Verdict & { words: string } {
  const s = rateInterval(stable.hits, stable.total, alpha);
  const c = rateInterval(candidate.hits, candidate.total, alpha);
  const kind = c.low > s.high + margin ? 'worse' : c.high < s.low + margin ? 'not_worse' : 'unclear';
  const words = `candidate ${words1(candidate, c)}, stable ${words1(stable, s)}, allowed increase ${percent(margin)}`;
  return { kind, words, reason: words };
}

/**
 * Confidence sequence of a Bernoulli rate after `hits` of `total`, level 1 - alpha, valid at all times at once.
 * The prior Beta(1/2, 4) spends most of its mass on small rates, where errors live.
 */
export function rateInterval(hits: number, total: number, alpha: number): Interval {
  if (total === 0) return { low: 0, high: 1 };
  const a = 0.5;
  const b = 4;
  const misses = total - hits;
  const evidence = logBeta(a + hits, b + misses) - logBeta(a, b);
  const bound = Math.log(1 / alpha);
  // how far the data speak against the rate p; smallest at the observed share, growing to both sides
  const against = (p: number) => evidence - hits * Math.log(p) - misses * Math.log1p(-p);
  const centre = hits / total;
  const edge = (inside: number, outside: number) => {
    let near = inside;
    let far = outside;
    for (let i = 0; i < 60; i++) {
      const middle = (near + far) / 2;
      if (against(middle) < bound) near = middle;
      else far = middle;
    }
    return far;
  };
  return {
    low: hits === 0 ? 0 : edge(centre, 0),
    high: misses === 0 ? 1 : edge(centre, 1),
  };
}

/** What counts as slow, in milliseconds: `factor` times the p95 of these requests, rounded up to a bucket bound. */
export function slowBound(stats: ArmStats, factor: number): number {
  const limit = quantile(stats, 0.95) * factor;
  return LATENCY_BOUNDS_MS.find((bound) => bound >= limit) ?? LATENCY_BOUNDS_MS.at(-1) ?? limit;
}

/** The bucket that a latency falls into. */
export function latencyBucket(ms: number): number {
  let low = 0;
  let high = LATENCY_BOUNDS_MS.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (ms <= (LATENCY_BOUNDS_MS[middle] as number)) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** The sum of several windows or several gateways' counts. */
export function addStats(parts: readonly ArmStats[]): ArmStats {
  const latency = new Array<number>(LATENCY_BOUNDS_MS.length + 1).fill(0);
  let requests = 0;
  let errors = 0;
  for (const part of parts) {
    requests += part.requests;
    errors += part.errors;
    part.latency.forEach((count, at) => {
      latency[at] = (latency[at] ?? 0) + count;
    });
  }
  return { requests, errors, latency };
}

/** A quantile of the latency in milliseconds, interpolated within its bucket; NaN without requests. */
export function quantile(stats: ArmStats, q: number): number {
  const total = stats.latency.reduce((sum, count) => sum + count, 0);
  if (total === 0) return Number.NaN;
  let left = q * total;
  for (let at = 0; at < stats.latency.length; at++) {
    const count = stats.latency[at] ?? 0;
    if (left <= count && count > 0) {
      const low = LATENCY_BOUNDS_MS[at - 1] ?? 0;
      const high = LATENCY_BOUNDS_MS[at] ?? low * 2;
      return low + (high - low) * (left / count);
    }
    left -= count;
  }
  return LATENCY_BOUNDS_MS.at(-1) ?? Number.NaN;
}

function slowerThan(stats: ArmStats, limit: number): number {
  return stats.latency.reduce((sum, count, at) => (at > limit ? sum + count : sum), 0);
}

function words1(rate: Rate, interval: Interval): string {
  return `${rate.hits} of ${rate.total} (${percent(interval.low)} to ${percent(interval.high)})`;
}

function percent(share: number): string {
  return `${Number((share * 100).toFixed(2))} %`;
}

function logBeta(a: number, b: number): number {
  return logGamma(a) + logGamma(b) - logGamma(a + b);
}

/** Lanczos' approximation (g = 7, n = 9) of ln Γ(x) for x > 0; relative error below 1e-13. */
export function logGamma(x: number): number {
  if (x < 0.5) return Math.log(Math.PI / Math.sin(Math.PI * x)) - logGamma(1 - x);
  const coefficients = [
    0.99999999999980993, 676.5203681218851, -1259.1392167224028, 771.32342877765313, -176.61502916214059,
    12.507343278686905, -0.13857109526572012, 9.9843695780195716e-6, 1.5056327351493116e-7,
  ];
  const z = x - 1;
  const sum = coefficients.reduce(
    (total, coefficient, at) => (at === 0 ? coefficient : total + coefficient / (z + at)),
    0,
  );
  const t = z + 7.5;
  return 0.5 * Math.log(2 * Math.PI) + (z + 0.5) * Math.log(t) - t + Math.log(sum);
}
