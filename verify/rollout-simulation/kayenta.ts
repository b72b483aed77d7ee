/**
 * Kayenta's judge (NetflixACAJudge with MannWhitneyClassifier, at its defaults): per metric and minute one average, candidate
 * against a fresh baseline of the same size; Mann-Whitney's U test with the Hodges-Lehmann estimate and its confidence
 * interval at 0.98. "High" where the interval's low end is above a quarter of the estimate, and the ratio of the means is at
 * least 1. One metric that is High fails the analysis.
 */
import type { Outcome } from './ours.js';
import type { Traffic } from './traffic.js';

const TOLERANCE = 0.25;
const ALLOWED_INCREASE = 1;
/** The standard normal's quantile at 0.99, for a confidence level of 0.98 on both sides. */
const Z = 2.3263478740408408;
const MINUTE = 60;

/** Judges once, after `atMinutes`, or at every minute from `from` on. */
export function runKayenta(
  traffic: Traffic,
  { share, from, minutes }: { readonly share: number; readonly from: number; readonly minutes: number },
): Outcome {
  const errors = { canary: [] as number[], baseline: [] as number[] };
  const slow = { canary: [] as number[], baseline: [] as number[] };
  let requests = 0;
  for (let minute = 1; minute <= minutes; minute++) {
    let [canary, baseline] = [newMinute(), newMinute()];
    for (let second = 0; second < MINUTE; second++) {
      const seen = traffic.second(share);
      canary = addTo(canary, seen.candidate);
      baseline = addTo(baseline, seen.stable);
    }
    requests += canary.requests;
    for (const [arm, sums] of [
      ['canary', canary],
      ['baseline', baseline],
    ] as const) {
      errors[arm].push(sums.errors / sums.requests);
      slow[arm].push(sums.totalMs / sums.requests);
    }
    if (minute < from) continue;
    const high = isHigh(errors.canary, errors.baseline) || isHigh(slow.canary, slow.baseline);
    if (high) return { end: 'rolled_back', candidateRequests: requests, seconds: minute * MINUTE };
  }
  return { end: 'promoted', candidateRequests: requests, seconds: minutes * MINUTE };
}
