/**
 * Tests of rates that stay valid however often one looks, on sums alone.
 *
 * A stream of yes and no has likelihood L(p) = p^hits (1 - p)^misses. For any prior Q that was fixed before the stream
 * began, M = ∫ L(q) dQ(q) / L(p) is a martingale of mean 1 if p is the true rate, so by Ville's inequality it reaches 1/α at
 * any time with probability α at most. With two arms the likelihoods and the mixtures multiply. A hypothesis that holds
 * many rates is rejected when M is at least 1/α for each of them, that is when ∫ L dQ / max L over the hypothesis is
 * ("universal inference": Wasserman, Ramdas and Balakrishnan 2020; by the method of mixtures: Robbins 1970). Nothing is
 * assumed of how the requests come to the arms, as long as it does not depend on how those to come will end.
 *
 * It holds for values from 0 to 1 as well, with their sum for the hits: x ↦ (q/p)^x ((1-q)/(1-p))^(1-x) is convex, so it lies
 * below its chord x q/p + (1-x) (1-q)/(1-p), whose mean is 1 where the mean of x is p: M is then a supermartingale, and
 * Ville's inequality is one for those.
 */
import { logBeta, timesLog } from './special.js';

/** `hits` may be a sum of values from 0 to 1. */
export interface Rate {
  readonly hits: number;
  readonly total: number;
}

export interface Interval {
  readonly low: number;
  readonly high: number;
}

/** A mixture of Beta distributions. */
export type Prior = readonly { readonly weight: number; readonly a: number; readonly b: number }[];

/** For rates that are usually small, as those of errors are. */
export const RARE: Prior = [{ weight: 1, a: 0.5, b: 4 }];
/** For rates of which nothing is known (Jeffreys). */
export const ANY: Prior = [{ weight: 1, a: 0.5, b: 0.5 }];

/** What is left to the prior of nothing known where one is informed: being wrong about the past costs its logarithm. */
const DOUBT = 0.2;

/** A prior from what was seen before the comparison began, counted as at most `strength` requests. */
export function informed(before: Rate, strength: number, otherwise: Prior): Prior {
  if (before.total === 0) return otherwise;
  const scale = Math.min(1, strength / before.total);
  const hits = before.hits * scale;
  const misses = (before.total - before.hits) * scale;
  return [
    { weight: 1 - DOUBT, a: 0.5 + hits, b: 0.5 + misses },
    ...otherwise.map((part) => ({ ...part, weight: part.weight * DOUBT })),
  ];
}

/** ln ∫ L dQ. */
export function logMixture({ hits, total }: Rate, prior: Prior): number {
  const logs = prior.map(({ weight, a, b }) => Math.log(weight) + logBeta(a + hits, b + total - hits) - logBeta(a, b));
  const most = Math.max(...logs);
  return most + Math.log(logs.reduce((sum, log) => sum + Math.exp(log - most), 0));
}

/** ln L(p). */
export function logLikelihood({ hits, total }: Rate, p: number): number {
  return timesLog(hits, p) + timesLog(total - hits, 1 - p);
}

/** The observed share; 0 of nothing. */
export function shareOf({ hits, total }: Rate): number {
  return total === 0 ? 0 : hits / total;
}

/** What both arms did, and what was expected of them. */
export interface TwoArms {
  readonly candidate: Rate;
  readonly stable: Rate;
  readonly priors: { readonly candidate: Prior; readonly stable: Prior };
}

/** "The candidate's rate is at most, or at least, so much above the stable's." */
export type Hypothesis = 'at_most' | 'at_least';

/**
 * ln of the evidence against the hypothesis: where it reaches ln 1/α, at whatever time, the hypothesis is rejected at
 * level α. Never of use against what the observed shares agree with.
 */
export function evidenceAgainst(hypothesis: Hypothesis, margin: number, arms: TwoArms): number {
  return logMixtures(arms) - bestWithin(hypothesis, margin, arms.candidate, arms.stable);
}

function logMixtures({ candidate, stable, priors }: TwoArms): number {
  return logMixture(candidate, priors.candidate) + logMixture(stable, priors.stable);
}

/** The greatest ln L of a hypothesis: at the observed shares where they belong to it, else on its border. */
function bestWithin(hypothesis: Hypothesis, margin: number, candidate: Rate, stable: Rate): number {
  // of an arm without requests any rate is as likely as another: it takes the one that suits the hypothesis
  const most = hypothesis === 'at_most';
  const c = candidate.total === 0 ? (most ? 0 : 1) : shareOf(candidate);
  const s = stable.total === 0 ? (most ? 1 : 0) : shareOf(stable);
  if (most ? c - s <= margin : c - s >= margin) return logLikelihood(candidate, c) + logLikelihood(stable, s);
  return bestOnBorder(margin, candidate, stable);
}

/**
 * The greatest ln L of rates p of the stable and p + margin of the candidate. It is concave in p: Newton's steps find it by
 * its slope, and halving where one would leave what is still in question.
 */
function bestOnBorder(margin: number, candidate: Rate, stable: Rate): number {
  const counts = [candidate.hits, candidate.total - candidate.hits, stable.hits, stable.total - stable.hits] as const;
  const [hitsC, missesC, hitsS, missesS] = counts;
  const at = (p: number) => logLikelihood(candidate, Math.min(1, Math.max(0, p + margin))) + logLikelihood(stable, p);
  let low = Math.max(0, -margin);
  let high = Math.min(1, 1 - margin);
  let p = (low + high) / 2;
  for (let i = 0; i < 60 && high - low > 1e-14; i++) {
    const q = p + margin;
    const [a, b, c, d] = [over(hitsC, q), over(missesC, 1 - q), over(hitsS, p), over(missesS, 1 - p)];
    const slope = a - b + c - d;
    if (slope > 0) low = p;
    else high = p;
    const step = slope / (over(a, q) + over(b, 1 - q) + over(c, p) + over(d, 1 - p));
    if (Math.abs(step) < 1e-12) break;
    const next = p + step;
    p = next > low && next < high ? next : (low + high) / 2;
  }
  return Math.max(at(low), at(p), at(high));
}

function over(n: number, p: number): number {
  return n === 0 ? 0 : n / p;
}

/**
 * The margins that are not rejected: the candidate's rate is `low` to `high` above the stable's, each end with its own
 * confidence, at all times at once.
 */
export function differenceBounds(
  candidate: Rate,
  stable: Rate,
  sides: Readonly<Record<'low' | 'high', { readonly priors: TwoArms['priors']; readonly alpha: number }>>,
): Interval {
  const edge = (hypothesis: Hypothesis, { priors, alpha }: (typeof sides)['low'], end: number) => {
    // rejected where the likelihood stays below this
    const bound = logMixtures({ candidate, stable, priors }) - Math.log(1 / alpha);
    const rejects = (margin: number) => bestWithin(hypothesis, margin, candidate, stable) <= bound;
    if (!rejects(end)) return end;
    let rejected = end;
    let kept = -end;
    for (let i = 0; i < 24; i++) {
      const middle = (rejected + kept) / 2;
      if (rejects(middle)) rejected = middle;
      else kept = middle;
    }
    return rejected;
  };
  return { low: edge('at_most', sides.low, -1), high: edge('at_least', sides.high, 1) };
}

/** ln of the evidence against "the rate is at most, or at least, `bound`" of one stream by itself. */
export function evidenceOfOne(hypothesis: Hypothesis, bound: number, rate: Rate, prior: Prior): number {
  const share = shareOf(rate);
  const inside = hypothesis === 'at_most' ? share <= bound : share >= bound;
  return logMixture(rate, prior) - logLikelihood(rate, inside || rate.total === 0 ? share : bound);
}

/** The rates of one stream that are not rejected at level α by a prior, at all times at once. */
export function rateInterval(rate: Rate, alpha: number, prior: Prior = RARE): Interval {
  if (rate.total === 0) return { low: 0, high: 1 };
  const evidence = logMixture(rate, prior);
  const bound = Math.log(1 / alpha);
  const edge = (inside: number, outside: number) => {
    let near = inside;
    let far = outside;
    for (let i = 0; i < 40; i++) {
      const middle = (near + far) / 2;
      // how far the data speak against a rate grows from the observed share to both sides
      if (evidence - logLikelihood(rate, middle) < bound) near = middle;
      else far = middle;
    }
    return far;
  };
  const centre = shareOf(rate);
  return {
    low: rate.hits === 0 ? 0 : edge(centre, 0),
    high: rate.total - rate.hits === 0 ? 1 : edge(centre, 1),
  };
}
