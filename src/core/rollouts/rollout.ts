/** A rollout: a progressive change of traffic from the stable revision to a candidate. The pure decision on its next move. */
import type { Verdict } from './analysis.js';
import { type RolloutPlan, type Step, stanceAt } from './plan.js';

export type RolloutState = 'running' | 'paused' | 'promoted' | 'rolled_back' | 'aborted';

/** `rollback`: a way back to an earlier revision, which takes all traffic as soon as it is ready. */
export type RolloutKind = 'rollout' | 'rollback';

export interface RolloutFacts {
  readonly kind: RolloutKind;
  readonly plan: RolloutPlan;
  readonly steps: readonly Step[];
  readonly state: RolloutState;
  /** Index into the steps; -1 while the candidate is brought up. */
  readonly step: number;
  /** Milliseconds since the epoch. */
  readonly stepStartedAt: number;
  readonly now: number;
  /** Replicas of the candidate that answer. */
  readonly candidateReady: number;
  /** Why the candidate cannot start, when it cannot. */
  readonly candidateProblem?: string;
  /** Replicas of the stable revision that answer, and all of them: also those that start or end. */
  readonly stableReady: number;
  readonly stableHeld: number;
  /** Most replicas that the candidate may have. */
  readonly candidateMax: number;
  /** Of the comparison of both arms over the same window: since the candidate first had traffic. */
  readonly verdict: Verdict;
  /** Candidate requests since the current step began, and since it first had traffic. */
  readonly candidateInStep: number;
  readonly candidateSeen: number;
}

export type RolloutDecision =
  | { readonly kind: 'hold'; readonly reason: string }
  | { readonly kind: 'step'; readonly step: number; readonly reason: string }
  | { readonly kind: 'promote'; readonly reason: string }
  | { readonly kind: 'pause'; readonly reason: string }
  | { readonly kind: 'roll_back'; readonly reason: string };

/**
 * What to do next. A regression ends the rollout at once, also while it is paused; a promotion needs evidence that the
 * candidate is not worse. Too little evidence means hold, never promote.
 */
export function decideRollout(facts: RolloutFacts): RolloutDecision {
  return facts.step < 0 ? bringUp(facts) : inStep(facts);
}

function bringUp(facts: RolloutFacts): RolloutDecision {
  const { plan, steps } = facts;
  // where there is no room for it yet, room is made first
  if (steps[0]?.kind === 'room' && facts.kind === 'rollout')
    return facts.state === 'paused' ? PAUSED : next(facts, 'the stable revision has to make room');
  if (facts.candidateReady === 0) {
    if (facts.candidateProblem)
      return { kind: 'roll_back', reason: `the candidate does not start: ${facts.candidateProblem}` };
    return secondsIn(facts) > plan.readyTimeoutSec
      ? { kind: 'roll_back', reason: `the candidate was not ready within ${plan.readyTimeoutSec} s` }
      : { kind: 'hold', reason: 'waiting for the candidate to get ready' };
  }
  if (facts.state === 'paused') return PAUSED;
  return facts.kind === 'rollback'
    ? { kind: 'promote', reason: 'the earlier revision is ready' }
    : next(facts, 'the candidate is ready');
}

function inStep(facts: RolloutFacts): RolloutDecision {
  const { verdict, steps, candidateProblem } = facts;
  if (verdict.kind === 'worse') return { kind: 'roll_back', reason: verdict.reason };
  const step = steps[facts.step];
  if (candidateProblem && facts.candidateReady === 0 && (step?.kind === 'grow' || isSeen(facts)))
    return { kind: 'roll_back', reason: `the candidate does not answer any more: ${candidateProblem}` };
  if (facts.state === 'paused') return PAUSED;
  switch (step?.kind) {
    case 'weight':
      return step.analyse ? withShare(facts, step.holdSec) : forAWhile(facts, step.holdSec);
    case 'shadow':
      return forAWhile(facts, step.holdSec);
    case 'pause':
      return step.durationSec === undefined ? next(facts, 'resumed') : forAWhile(facts, step.durationSec);
    case 'scale': {
      return untilReady(facts, replicasOf(step, facts));
    }
    case 'grow':
      return untilReady(facts, step.candidate);
    case 'room':
      return untilRoom(facts, step.stable);
    case 'analysis':
      return untilClear(facts, facts.candidateSeen, step.minRequests ?? 0, 'since it first had traffic');
    case undefined:
      return next(facts, verdict.reason);
  }
}

/** Replicas that a step of this kind asks for. */
export function replicasOf(
  { replicas }: Extract<Step, { kind: 'scale' }>,
  { stableReady, candidateMax }: { readonly stableReady: number; readonly candidateMax: number },
): number {
  return Math.min(candidateMax, replicas === 'match' ? Math.max(1, stableReady) : replicas);
}

const PAUSED: RolloutDecision = { kind: 'hold', reason: 'paused' };

/** The step after this one. After the last comes the promotion, and that on evidence alone. */
function next(facts: RolloutFacts, reason: string): RolloutDecision {
  const step = facts.step + 1;
  const following = facts.steps[step];
  // replicas that were there a moment ago may be gone
  if (facts.candidateReady === 0 && (following === undefined || following.kind === 'weight'))
    return inconclusive(facts, 'no replica of the candidate is ready now');
  if (following) return { kind: 'step', step, reason };
  if (facts.verdict.kind === 'not_worse') return { kind: 'promote', reason: facts.verdict.reason };
  return inconclusive(facts, facts.verdict.reason);
}

/** The candidate has a share and has to show in it that it is not worse. */
function withShare(facts: RolloutFacts, holdSec: number): RolloutDecision {
  if (secondsIn(facts) < holdSec) return inThisStep(facts, holdSec);
  return untilClear(facts, facts.candidateInStep, facts.plan.analysis.minRequests, 'in this step');
}

function untilClear(facts: RolloutFacts, seen: number, needed: number, where: string): RolloutDecision {
  const enough = seen >= needed;
  if (enough && facts.verdict.kind === 'not_worse') return next(facts, facts.verdict.reason);
  return inconclusive(facts, enough ? facts.verdict.reason : `${seen} of at least ${needed} requests seen ${where}`);
}

function inconclusive({ plan, ...facts }: RolloutFacts, missing: string): RolloutDecision {
  if (secondsIn(facts) <= plan.maxStepSec) return { kind: 'hold', reason: missing };
  return { kind: plan.onInconclusive, reason: `no clear verdict within ${plan.maxStepSec} s: ${missing}` };
}

function forAWhile(facts: RolloutFacts, durationSec: number): RolloutDecision {
  return secondsIn(facts) < durationSec
    ? inThisStep(facts, durationSec)
    : next(facts, `${durationSec} s are over and nothing speaks against it`);
}

function inThisStep(facts: RolloutFacts, durationSec: number): RolloutDecision {
  return { kind: 'hold', reason: `in this step for ${secondsIn(facts).toFixed(1)} of ${durationSec} s` };
}

function untilReady(facts: RolloutFacts, wanted: number): RolloutDecision {
  if (facts.candidateReady >= wanted)
    return next(facts, `${facts.candidateReady} of ${wanted} replicas of the candidate are ready`);
  const have = `${facts.candidateReady} of ${wanted} replicas of the candidate are ready`;
  return inTime(facts, have);
}

function untilRoom(facts: RolloutFacts, left: number): RolloutDecision {
  if (facts.stableHeld <= left) return next(facts, `the stable revision is down to ${facts.stableHeld} replicas`);
  return inTime(facts, `the stable revision still holds ${facts.stableHeld} replicas, ${left} are to be left`);
}

function inTime(facts: RolloutFacts, have: string): RolloutDecision {
  const { readyTimeoutSec } = facts.plan;
  return secondsIn(facts) > readyTimeoutSec
    ? { kind: 'roll_back', reason: `${have} after ${readyTimeoutSec} s` }
    : { kind: 'hold', reason: have };
}

/** Whether requests, or copies of them, go to the candidate that it is started for. */
function isSeen({ steps, step }: RolloutFacts): boolean {
  if (steps[step]?.kind === 'room') return false;
  const { percent, shadow } = stanceAt(steps, step);
  return percent > 0 || shadow > 0;
}

function secondsIn({ now, stepStartedAt }: Pick<RolloutFacts, 'now' | 'stepStartedAt'>): number {
  return (now - stepStartedAt) / 1000;
}
