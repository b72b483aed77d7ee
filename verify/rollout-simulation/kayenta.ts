/**
 * Kayenta's judge (NetflixACAJudge with MannWhitneyClassifier, at its defaults): per metric and minute one average, candidate
 * against a fresh baseline of the same size; Mann-Whitney's U test at a confidence of 0.98. A metric is "High" where the
 * interval's low end is above a quarter of the Hodges-Lehmann estimate and the ratio of the means is at least 1; one of two
 * metrics that is High leaves a score of 50, below the usual pass mark of 75.
 */
import { type ArmStats, addStats, LATENCY_BOUNDS_MS, NO_STATS } from '../../src/core/rollouts/analysis.js';
import { shiftOf } from './mann-whitney.js';
import type { Outcome } from './ours.js';
import type { Traffic } from './traffic.js';

const TOLERANCE = 0.25;
const ALLOWED_INCREASE = 1;
/** The standard normal's quantile for a two-sided confidence of 0.98. */
const Z = 2.3263478740408408;
const MINUTE = 60;

/** Judges at every minute from `from` on, until it fails or the time is over. The baseline has half of the traffic, too. */
export function runKayenta(
  traffic: Traffic,
  { from, minutes }: { readonly from: number; readonly minutes: number },
): Outcome {
  const errors = { canary: [] as number[], baseline: [] as number[] };
  const latency = { canary: [] as number[], baseline: [] as number[] };
  let requests = 0;
  for (let minute = 1; minute <= minutes; minute++) {
    const sums = { canary: NO_STATS, baseline: NO_STATS };
    for (let second = 0; second < MINUTE; second++) {
      const seen = traffic.second(0.5);
      sums.canary = addStats([sums.canary, seen.candidate]);
      sums.baseline = addStats([sums.baseline, seen.stable]);
    }
    requests += sums.canary.requests;
    for (const arm of ['canary', 'baseline'] as const) {
      errors[arm].push(sums[arm].errors / sums[arm].requests);
      latency[arm].push(meanMs(sums[arm]));
    }
    const end = { candidateRequests: requests, seconds: minute * MINUTE };
    if (minute < from) continue;
    if (isHigh(errors.canary, errors.baseline) || isHigh(latency.canary, latency.baseline))
      return { end: 'rolled_back', ...end };
  }
  return { end: 'promoted', candidateRequests: requests, seconds: minutes * MINUTE };
}

function isHigh(canary: readonly number[], baseline: readonly number[]): boolean {
  const shift = shiftOf(canary, baseline, Z);
  if (!shift || shift.low <= TOLERANCE * Math.abs(shift.estimate)) return false;
  const ratio = mean(canary) / mean(baseline);
  return ratio >= ALLOWED_INCREASE;
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** By the middles of the buckets, as an average over a histogram is. */
function meanMs({ requests, latency }: ArmStats): number {
  const total = latency.reduce((sum, count, at) => {
    const low = LATENCY_BOUNDS_MS[at - 1] ?? 0;
    return sum + (count * (low + (LATENCY_BOUNDS_MS[at] ?? low))) / 2;
  }, 0);
  return total / requests;
}
