/**
 * A rollout under fixed thresholds, as rules for Argo Rollouts and Flagger are commonly written: once a minute the candidate's
 * last minute must have at most 1 % of errors and a p95 below a bound; so many failed checks roll back, and so many checks
 * that passed lead to the next step.
 */
import { type ArmStats, addStats, NO_STATS, quantile } from '../../src/core/rollouts/analysis.js';
import type { Outcome } from './ours.js';
import type { Traffic } from './traffic.js';

export interface ThresholdRule {
  readonly maxErrorRate: number;
  readonly maxP95Ms: number;
  /** Failed checks that roll back. */
  readonly failures: number;
  /** Checks that each step takes. */
  readonly checks: number;
  readonly steps: readonly number[];
}

const MINUTE = 60;

export function runThresholds(traffic: Traffic, rule: ThresholdRule): Outcome {
  let [requests, failed, seconds] = [0, 0, 0];
  for (const percent of rule.steps) {
    for (let passed = 0; passed < rule.checks; ) {
      let minute: ArmStats = NO_STATS;
      for (let second = 0; second < MINUTE; second++)
        minute = addStats([minute, traffic.second(percent / 100).candidate]);
      seconds += MINUTE;
      requests += minute.requests;
      if (minute.errors / minute.requests > rule.maxErrorRate || quantile(minute, 0.95) > rule.maxP95Ms) failed++;
      else passed++;
      if (failed >= rule.failures) return { end: 'rolled_back', candidateRequests: requests, seconds };
    }
  }
  return { end: 'promoted', candidateRequests: requests, seconds };
}
