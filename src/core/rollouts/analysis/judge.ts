/** The verdict of an analysis: each metric of the plan by itself, then all of them together. Pure. */
import { NOTHING_OBSERVED, type ObservedStats } from '../../inference/observed.js';
import { judgeAsked, type Measured } from './asked.js';
import { driftEvidence } from './drift.js';
import { type ArmStats, NO_STATS, slowerThan } from './latency.js';
import { type AnalysisPlan, alphaOf, isAsked, type Metric, type MetricOf, nameOf, type TestedMetric } from './plan.js';
import {
  ANY,
  differenceBounds,
  evidenceAgainst,
  evidenceOfOne,
  informed,
  type Prior,
  RARE,
  type Rate,
  rateInterval,
} from './rates.js';
import { type ArmNumbers, type Judgement, joinVerdicts, type MetricVerdict, type VerdictKind } from './verdict.js';

/** What one revision did in a window, and what was observed of it. */
export interface ArmSums {
  readonly answers: ArmStats;
  readonly observed: Readonly<Record<string, ObservedStats>>;
}

export const NO_SUMS: ArmSums = { answers: NO_STATS, observed: {} };

/** What counts as slow for one metric, and what both arms had done when that became known: it is compared from there. */
export interface SlowBound {
  readonly ms: number;
  readonly stable?: Rate;
  readonly candidate?: Rate;
}

export interface Evidence {
  readonly stable: ArmSums;
  readonly candidate: ArmSums;
  /** What the stable revision did before the comparison began: it makes the tests sharper, and can make none of them wrong. */
  readonly before: ArmSums;
  /** By the metric's name; without one there is nothing to compare its latency with yet. */
  readonly slow: Readonly<Record<string, SlowBound>>;
  /** What was asked elsewhere, by the metric's name. */
  readonly measured: Readonly<Record<string, Measured>>;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

/** Requests that the past counts for at most: of the stable's rate, and of a candidate's that is thought to be the same. */
const PAST_OF_STABLE = 2000;
const PAST_OF_CANDIDATE = 500;
/** Kinds of values that a drift is compared by. */
const KINDS = 64;

/**
 * `worse` of a metric is wrong with its part of alpha at most, over the whole rollout, so that an equal candidate is rolled
 * back with probability alpha at most. `not_worse` is wrong with alpha at most, and undivided: a candidate that is worse in
 * any metric passes only if that metric's test errs, because all of them must pass.
 */
export function judge(plan: AnalysisPlan, evidence: Evidence): Judgement {
  const metrics = plan.metrics.map((metric) => judgeMetric(plan, metric, evidence));
  const joined = joinVerdicts(metrics);
  const { requests } = evidence.stable.answers;
  if (joined.kind !== 'not_worse' || requests >= plan.minStableRequests) return joined;
  const reason = `${requests} of at least ${plan.minStableRequests} requests of the stable revision compared`;
  return { kind: 'unclear', reason, metrics };
}

function judgeMetric(plan: AnalysisPlan, metric: Metric, evidence: Evidence): MetricVerdict {
  if (isAsked(metric)) return judgeAsked(metric, evidence.measured[nameOf(metric)], evidence.now);
  const alphas = { worse: alphaOf(plan, metric), notWorse: plan.alpha };
  switch (metric.kind) {
    case 'errors': {
      const of = ({ answers }: ArmSums): Rate => ({ hits: answers.errors, total: answers.requests });
      return twoArms(metric, metric.maxIncrease, alphas, ratesOf(evidence, of), RARE, '');
    }
    case 'latency': {
      const bound = evidence.slow[nameOf(metric)];
      if (bound === undefined)
        return { ...named(metric), kind: 'unclear', words: 'too few stable requests to say what is slow' };
      const of = ({ answers }: ArmSums): Rate => ({ hits: slowerThan(answers, bound.ms), total: answers.requests });
      const rates = ratesOf(evidence, of);
      const compared = {
        candidate: less(rates.candidate, bound.candidate),
        stable: less(rates.stable, bound.stable),
        before: rates.before,
      };
      return twoArms(metric, metric.maxIncrease, alphas, compared, RARE, `slower than ${bound.ms} ms`);
    }
    case 'reward':
    case 'accuracy': {
      // what is missing to the full reward is a rate that must not grow
      const of = ({ observed }: ArmSums): Rate => {
        const { count, sum } = observed[metric.kind] ?? NOTHING_OBSERVED;
        return { hits: Math.max(0, count - sum), total: count };
      };
      const what = metric.kind === 'reward' ? 'reward missing' : 'wrong';
      return twoArms(metric, metric.maxDecrease, alphas, ratesOf(evidence, of), ANY, what);
    }
    case 'shadow':
      return judgeShadow(metric, alphas, evidence);
    case 'drift':
      return judgeDrift(metric, alphas, evidence);
  }
}

interface Alphas {
  readonly worse: number;
  readonly notWorse: number;
}

interface Rates {
  readonly candidate: Rate;
  readonly stable: Rate;
  readonly before: Rate;
}

function ratesOf({ candidate, stable, before }: Evidence, of: (arm: ArmSums) => Rate): Rates {
  return { candidate: of(candidate), stable: of(stable), before: of(before) };
}

function twoArms(
  metric: TestedMetric,
  margin: number,
  alphas: Alphas,
  { candidate, stable, before }: Rates,
  usual: Prior,
  what: string,
): MetricVerdict {
  const past = informed(before, PAST_OF_STABLE, usual);
  // against "not worse" speaks a candidate of any rate; against "worse" one that is as the stable was
  const low = { priors: { candidate: usual, stable: past }, alpha: alphas.worse };
  const high = {
    priors: { candidate: informed(before, PAST_OF_CANDIDATE, usual), stable: past },
    alpha: alphas.notWorse,
  };
  const arms = { candidate, stable };
  const kind = decide(
    evidenceAgainst('at_most', margin, { ...arms, priors: low.priors }) - Math.log(1 / low.alpha),
    evidenceAgainst('at_least', margin, { ...arms, priors: high.priors }) - Math.log(1 / high.alpha),
  );
  const difference = differenceBounds(candidate, stable, { low, high });
  const numbers = { candidate: numbersOf(candidate, low.alpha, usual), stable: numbersOf(stable, low.alpha, usual) };
  const words =
    `${what === '' ? '' : `${what}: `}candidate ${wordsOf(numbers.candidate)}, stable ${wordsOf(numbers.stable)}, ` +
    `difference ${points(difference.low)} to ${points(difference.high)}, allowed increase ${percent(margin)}`;
  return { ...named(metric), kind, words, ...numbers, difference, margin, alpha: alphas.worse };
}

function judgeShadow(metric: MetricOf<'shadow'>, alphas: Alphas, { candidate }: Evidence): MetricVerdict {
  const { count, sum } = candidate.observed['shadow.disagreement'] ?? NOTHING_OBSERVED;
  const rate = { hits: sum, total: count };
  const margin = metric.maxDisagreement;
  const kind = decide(
    evidenceOfOne('at_most', margin, rate, RARE) - Math.log(1 / alphas.worse),
    evidenceOfOne('at_least', margin, rate, RARE) - Math.log(1 / alphas.notWorse),
  );
  const numbers = numbersOf(rate, alphas.worse, RARE);
  const words = `the candidate disagreed with the stable in ${wordsOf(numbers)}, allowed ${percent(margin)}`;
  return { ...named(metric), kind, words, candidate: numbers, margin, alpha: alphas.worse };
}

function judgeDrift(metric: MetricOf<'drift'>, alphas: Alphas, { candidate, stable }: Evidence): MetricVerdict {
  const of = ({ observed }: ArmSums) => observed[`output.${metric.output}`] ?? NOTHING_OBSERVED;
  const [c, s] = [of(candidate), of(stable)];
  const margin = metric.maxDistance;
  const { distance, more, less: fewer } = driftEvidence(c.buckets, s.buckets, margin, KINDS);
  const kind = decide(more - Math.log(1 / alphas.worse), fewer - Math.log(1 / alphas.notWorse));
  const words =
    `values of "${metric.output}" in ${c.count} answers of the candidate and ${s.count} of the stable are ` +
    `${percent(distance)} apart, allowed ${percent(margin)}`;
  return { ...named(metric), kind, words, margin, alpha: alphas.worse, value: distance };
}

/** By how far each side's evidence is beyond what it takes. */
function decide(worse: number, notWorse: number): VerdictKind {
  return worse >= 0 ? 'worse' : notWorse >= 0 ? 'not_worse' : 'unclear';
}

function less(rate: Rate, taken: Rate | undefined): Rate {
  if (taken === undefined) return rate;
  return { hits: Math.max(0, rate.hits - taken.hits), total: Math.max(0, rate.total - taken.total) };
}

function named(metric: Metric) {
  return { metric: nameOf(metric), measures: metric.kind };
}

function numbersOf(rate: Rate, alpha: number, prior: Prior): ArmNumbers {
  return { ...rate, ...rateInterval(rate, alpha, prior) };
}

function wordsOf({ hits, total, low, high }: ArmNumbers): string {
  return `${Number(hits.toFixed(2))} of ${total} (${percent(low)} to ${percent(high)})`;
}

function percent(share: number): string {
  return `${Number((share * 100).toFixed(2))} %`;
}

function points(share: number): string {
  return `${share > 0 ? '+' : share < 0 ? '−' : ''}${percent(Math.abs(share))}`;
}
