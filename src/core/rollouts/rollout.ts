/** A rollout: a progressive change of traffic from the stable revision to a candidate. The plan, and the pure decision on it. */
import { z } from 'zod';
import { analysisSchema, type Verdict } from './analysis.js';

export const rolloutPlanSchema = z
  .object({
    steps: z
      .array(
        z
          .object({
            percent: z.number().gt(0).lt(100).describe("The candidate's share in this step, in percent."),
            holdSec: z
              .number()
              .min(0)
              .max(7 * 86400)
              .default(10)
              .describe('Least time in this step, in seconds.'),
          })
          .strict(),
      )
      .min(1)
      .max(50)
      .refine(
        (steps) => steps.every((step, at) => at === 0 || step.percent > (steps[at - 1]?.percent ?? 0)),
        'percents must grow from step to step',
      )
      .default([
        { percent: 10, holdSec: 10 },
        { percent: 50, holdSec: 10 },
      ]),
    analysis: analysisSchema.prefault({}),
    maxStepSec: z
      .number()
      .min(1)
      .max(30 * 86400)
      .default(3600)
      .describe('Longest that a step waits for a clear verdict, in seconds.'),
    onInconclusive: z.enum(['roll_back', 'pause']).default('pause').describe('What happens then.'),
    readyTimeoutSec: z
      .number()
      .min(1)
      .max(86400)
      .default(120)
      .describe('Longest that the candidate may take to get ready, in seconds.'),
    bakeSec: z
      .number()
      .min(0)
      .max(7 * 86400)
      .default(300)
      .describe('How long the old revision is kept warm after promotion, in seconds.'),
  })
  .strict();

export type RolloutPlan = z.infer<typeof rolloutPlanSchema>;
export type RolloutState = 'running' | 'paused' | 'promoted' | 'rolled_back' | 'aborted';

export interface RolloutFacts {
  readonly plan: RolloutPlan;
  readonly state: RolloutState;
  /** Index into the plan's steps; -1 while the candidate is brought up. */
  readonly step: number;
  /** Milliseconds since the epoch. */
  readonly stepStartedAt: number;
  readonly now: number;
  readonly candidateReady: boolean;
  /** Why the candidate cannot start, when it cannot. */
  readonly candidateProblem?: string;
  /** Of the comparison of both arms over the same window: since the candidate first had traffic. */
  readonly verdict: Verdict;
  /** Candidate requests since the current step began. */
  readonly candidateInStep: number;
}

export type RolloutDecision =
  | { readonly kind: 'hold'; readonly reason: string }
  | { readonly kind: 'step'; readonly step: number; readonly percent: number; readonly reason: string }
  | { readonly kind: 'promote'; readonly reason: string }
  | { readonly kind: 'pause'; readonly reason: string }
  | { readonly kind: 'roll_back'; readonly reason: string };

/**
 * What to do next. A regression ends the rollout at once, also while it is paused; an advance needs the least time, the
 * least number of requests and evidence that the candidate is not worse. Too little evidence means hold, never promote.
 */
export function decideRollout(facts: RolloutFacts): RolloutDecision {
  const { plan } = facts;
  const inStepSec = (facts.now - facts.stepStartedAt) / 1000;
  if (facts.step < 0) {
    if (facts.candidateProblem)
      return { kind: 'roll_back', reason: `the candidate does not start: ${facts.candidateProblem}` };
    if (!facts.candidateReady) {
      return inStepSec > plan.readyTimeoutSec
        ? { kind: 'roll_back', reason: `the candidate was not ready within ${plan.readyTimeoutSec} s` }
        : { kind: 'hold', reason: 'waiting for the candidate to get ready' };
    }
    return facts.state === 'paused' ? { kind: 'hold', reason: 'paused' } : nextStep(plan, 0, 'the candidate is ready');
  }
  const { verdict } = facts;
  if (verdict.kind === 'worse') return { kind: 'roll_back', reason: verdict.reason };
  if (facts.state === 'paused') return { kind: 'hold', reason: 'paused' };
  const step = plan.steps[facts.step];
  if (step && inStepSec < step.holdSec)
    return { kind: 'hold', reason: `in this step for ${inStepSec.toFixed(1)} of ${step.holdSec} s` };
  const enough = facts.candidateInStep >= plan.analysis.minRequests;
  if (enough && verdict.kind === 'not_worse') return nextStep(plan, facts.step + 1, verdict.reason);
  const missing = enough
    ? verdict.reason
    : `${facts.candidateInStep} of at least ${plan.analysis.minRequests} requests seen in this step`;
  if (inStepSec > plan.maxStepSec) {
    const reason = `no clear verdict within ${plan.maxStepSec} s: ${missing}`;
    return { kind: plan.onInconclusive, reason };
  }
  return { kind: 'hold', reason: missing };
}

function nextStep(plan: RolloutPlan, step: number, reason: string): RolloutDecision {
  const next = plan.steps[step];
  return next ? { kind: 'step', step, percent: next.percent, reason } : { kind: 'promote', reason };
}
