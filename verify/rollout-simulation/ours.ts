/** A rollout under this program's own decisions: the analysis and decideRollout, looked at every second. */
import { type ArmStats, addStats, judge, NO_STATS, NO_SUMS, type SlowBound } from '../../src/core/rollouts/analysis.js';
import { withBounds } from '../../src/core/rollouts/comparison.js';
import { type RolloutPlan, stanceAt, stepsOf } from '../../src/core/rollouts/plan.js';
import { decideRollout } from '../../src/core/rollouts/rollout.js';
import type { Traffic } from './traffic.js';

export interface Outcome {
  readonly end: 'promoted' | 'rolled_back' | 'undecided';
  readonly candidateRequests: number;
  readonly seconds: number;
}

/** Seconds of the stable revision alone, before the candidate gets anything. */
const HISTORY_SEC = 30;

export function runOurs(traffic: Traffic, plan: RolloutPlan, maxSec: number): Outcome {
  let before: ArmStats = NO_STATS;
  for (let second = 0; second < HISTORY_SEC; second++) before = addStats([before, traffic.second(0).stable]);
  const slow: Readonly<Record<string, SlowBound>> = withBounds({ slow: {} }, plan.analysis, before);
  let [stable, candidate, inStep] = [NO_STATS, NO_STATS, 0];
  const steps = stepsOf(plan, 1);
  let [step, stepStartedAt] = [0, 0];
  for (let second = 1; second <= maxSec; second++) {
    const share = stanceAt(steps, step).percent / 100;
    const seen = traffic.second(share);
    stable = addStats([stable, seen.stable]);
    candidate = addStats([candidate, seen.candidate]);
    inStep += seen.candidate.requests;
    const now = second * 1000;
    const verdict = judge(plan.analysis, {
      stable: { answers: stable, observed: {} },
      candidate: { answers: candidate, observed: {} },
      before: { ...NO_SUMS, answers: before },
      slow,
      measured: {},
      now,
    });
    const decision = decideRollout({
      kind: 'rollout',
      plan,
      steps,
      state: 'running',
      step,
      stepStartedAt,
      now,
      candidateReady: 1,
      candidateMax: 1,
      stableReady: 1,
      stableHeld: 1,
      verdict,
      candidateInStep: inStep,
      candidateSeen: candidate.requests,
    });
    const end = { candidateRequests: candidate.requests, seconds: second };
    if (decision.kind === 'promote') return { end: 'promoted', ...end };
    if (decision.kind === 'roll_back') return { end: 'rolled_back', ...end };
    if (decision.kind === 'step') [step, stepStartedAt, inStep] = [decision.step, now, 0];
  }
  return { end: 'undecided', candidateRequests: candidate.requests, seconds: maxSec };
}
