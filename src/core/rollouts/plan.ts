/** The plan of a rollout: what its author writes, and the steps that this comes to. */
import { z } from 'zod';
import { analysisSchema } from './analysis.js';

const WEEK_SEC = 7 * 86_400;
const DEFAULT_HOLD_SEC = 10;

const seconds = (max: number) => z.number().min(0).max(max);

/** What a step is; each has exactly one of these. */
const KINDS = ['percent', 'shadowPercent', 'pause', 'scale', 'analysis'] as const;

export const stepSchema = z
  .object({
    percent: z.number().gt(0).lt(100).optional().describe("The candidate's share in this step, in percent."),
    shadowPercent: z
      .number()
      .gt(0)
      .max(100)
      .optional()
      .describe(
        'The candidate gets copies of so many percent of the requests, and its answers are not returned. Goes on until the next share.',
      ),
    pause: z
      .object({
        durationSec: seconds(WEEK_SEC).optional().describe('In seconds; without it, until a person resumes.'),
      })
      .strict()
      .optional()
      .describe('Waits.'),
    scale: z
      .object({
        replicas: z
          .union([z.number().int().min(1).max(1000), z.literal('match')])
          .describe('So many, or as many as the stable revision has then ("match").'),
      })
      .strict()
      .optional()
      .describe('Waits until the candidate has so many replicas ready.'),
    analysis: z
      .object({
        minRequests: z.number().int().min(1).max(10_000_000).optional().describe('Candidate requests seen by then.'),
      })
      .strict()
      .optional()
      .describe('Waits for the verdict that the candidate is not worse.'),
    holdSec: seconds(WEEK_SEC)
      .optional()
      .describe(`Least time in a step with a share or with copies, in seconds; ${DEFAULT_HOLD_SEC} by default.`),
    analyse: z
      .boolean()
      .optional()
      .describe(
        'Whether a share waits for the verdict that the candidate is not worse before the next step; true by default. A regression ends the rollout in any case, and no promotion goes without the verdict.',
      ),
  })
  .strict()
  .superRefine((step, context) => {
    const named = KINDS.filter((kind) => step[kind] !== undefined);
    const only = named[0];
    if (named.length !== 1) {
      const which = named.length === 0 ? 'none' : named.join(' and ');
      context.addIssue({ code: 'custom', message: `a step has one of ${KINDS.join(', ')}; this one has ${which}` });
    } else if (step.holdSec !== undefined && only !== 'percent' && only !== 'shadowPercent')
      context.addIssue({ code: 'custom', path: ['holdSec'], message: `means nothing in a step with ${only}` });
    else if (step.analyse !== undefined && only !== 'percent')
      context.addIssue({ code: 'custom', path: ['analyse'], message: `means nothing in a step with ${only}` });
  });

const blueGreenSchema = z
  .object({
    replicas: z
      .union([z.number().int().min(1).max(1000), z.literal('match')])
      .default('match')
      .describe(
        'Replicas of the candidate before the switch: so many, or as many as the stable revision has ("match").',
      ),
    shadowPercent: z
      .number()
      .min(0)
      .max(100)
      .default(0)
      .describe('Copies of so many percent of the requests go to the candidate before the switch.'),
    previewSec: seconds(WEEK_SEC)
      .default(0)
      .describe('Least time at the preview address (tag "candidate") before the switch, in seconds.'),
    autoSwitch: z.boolean().default(true).describe('Whether it switches on its own; else when a person resumes.'),
    holdSec: seconds(WEEK_SEC)
      .default(60)
      .describe('Least time that the candidate is watched with all the traffic, in seconds.'),
  })
  .strict();

export const rolloutPlanSchema = z
  .object({
    strategy: z
      .enum(['canary', 'blue_green'])
      .default('canary')
      .describe(
        'canary: by the steps. blue_green: the candidate is scaled up and can be tried at its preview address; then all traffic switches at once, and back at once if it is worse than the stable revision was.',
      ),
    steps: z
      .array(stepSchema)
      .min(1)
      .max(50)
      .superRefine((steps, context) => {
        let before = 0;
        for (const [at, { percent }] of steps.entries()) {
          if (percent === undefined) continue;
          if (percent <= before)
            context.addIssue({
              code: 'custom',
              path: [at, 'percent'],
              message: `percents must grow from step to step; ${percent} follows ${before}`,
            });
          before = percent;
        }
      })
      .optional()
      .describe('Of a canary: 10 % and then 50 % by default, at least 10 s each.'),
    blueGreen: blueGreenSchema.optional().describe('Of strategy blue_green.'),
    surge: z
      .enum(['surge', 'in_place', 'recreate'])
      .default('surge')
      .describe(
        'Where the replicas of the candidate find room. surge: beside those of the stable revision. in_place: never more replicas than before; those of the stable revision make room step by step. recreate: the stable revision goes first, and requests wait until the candidate is ready. With one replica in_place is recreate.',
      ),
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
  .strict()
  .superRefine(({ strategy, steps, blueGreen, surge }, context) => {
    const refuse = (path: string, message: string) => context.addIssue({ code: 'custom', path: [path], message });
    if (strategy === 'blue_green' && steps) refuse('steps', 'belongs to strategy canary; blue_green has none');
    if (strategy === 'canary' && blueGreen) refuse('blueGreen', 'belongs to strategy blue_green');
    if (strategy === 'blue_green' && surge !== 'surge')
      refuse('surge', `is "${surge}", but blue_green needs room for both revisions: "surge"`);
    const idle = surge === 'surge' ? undefined : steps?.findIndex((step) => step.percent === undefined);
    if (idle !== undefined && idle >= 0 && !isPause(steps?.[idle]))
      context.addIssue({
        code: 'custom',
        path: ['steps', idle],
        message: `with surge "${surge}" the candidate has replicas only where it has a share: steps are shares and pauses`,
      });
  });

export type RolloutPlan = z.infer<typeof rolloutPlanSchema>;
type WrittenStep = z.infer<typeof stepSchema>;

/** A step as it is carried out. */
export type Step =
  | { readonly kind: 'weight'; readonly percent: number; readonly holdSec: number; readonly analyse: boolean }
  | { readonly kind: 'shadow'; readonly percent: number; readonly holdSec: number }
  /** Without a duration, until a person resumes. */
  | { readonly kind: 'pause'; readonly durationSec: number | undefined }
  | { readonly kind: 'scale'; readonly replicas: number | 'match' }
  | { readonly kind: 'analysis'; readonly minRequests: number | undefined }
  /** The stable revision gives up replicas: so many are left to it. */
  | { readonly kind: 'room'; readonly stable: number }
  /** The candidate takes their place. */
  | { readonly kind: 'grow'; readonly candidate: number };

const DEFAULT_STEPS: readonly WrittenStep[] = [{ percent: 10 }, { percent: 50 }];

/** The steps of a plan. `replicas`: those that the stable revision had when the rollout began. */
export function stepsOf(plan: RolloutPlan, replicas: number): readonly Step[] {
  if (plan.strategy === 'blue_green') return blueGreenSteps(plan);
  const steps = (plan.steps ?? DEFAULT_STEPS).map(stepOf);
  // plans of before there was such a choice have none
  switch (plan.surge ?? 'surge') {
    case 'surge':
      return steps;
    case 'in_place':
      return replicas > 1 ? inPlace(steps, replicas) : recreate(steps);
    case 'recreate':
      return recreate(steps);
  }
}

/** What the candidate has at a step: its share and its share of copies, in percent. `step` -1: before the first. */
export function stanceAt(steps: readonly Step[], step: number): { readonly percent: number; readonly shadow: number } {
  let percent = 0;
  let shadow = 0;
  for (const one of steps.slice(0, step + 1)) {
    if (one.kind === 'weight') {
      percent = one.percent;
      shadow = 0;
    } else if (one.kind === 'shadow') shadow = one.percent;
    // nothing is left to the stable revision: what comes waits for the candidate
    else if (one.kind === 'room' && one.stable === 0) percent = 100;
  }
  return { percent, shadow };
}

/** Whether both revisions have traffic at the same time; else the candidate is compared with what the stable one did before. */
export function isConcurrent(plan: RolloutPlan, replicas: number): boolean {
  return !stepsOf(plan, replicas).some((step) => step.kind === 'weight' && step.percent === 100);
}

/** A step in words. */
export function wordsOf(step: Step): string {
  switch (step.kind) {
    case 'weight':
      return `${step.percent} % for at least ${step.holdSec} s`;
    case 'shadow':
      return `copies of ${step.percent} % for at least ${step.holdSec} s`;
    case 'pause':
      return step.durationSec === undefined ? 'pause until resumed' : `pause for ${step.durationSec} s`;
    case 'scale':
      return step.replicas === 'match' ? 'as many replicas as the stable revision' : `${step.replicas} replicas ready`;
    case 'analysis':
      return step.minRequests === undefined ? 'analysis' : `analysis of at least ${step.minRequests} requests`;
    case 'room':
      return `the stable revision makes room, down to ${step.stable} replicas`;
    case 'grow':
      return `${step.candidate} replicas of the candidate`;
  }
}

function stepOf(step: WrittenStep): Step {
  const { holdSec = DEFAULT_HOLD_SEC } = step;
  if (step.percent !== undefined)
    return { kind: 'weight', percent: step.percent, holdSec, analyse: step.analyse ?? true };
  if (step.shadowPercent !== undefined) return { kind: 'shadow', percent: step.shadowPercent, holdSec };
  if (step.pause) return { kind: 'pause', durationSec: step.pause.durationSec };
  if (step.scale) return { kind: 'scale', replicas: step.scale.replicas };
  return { kind: 'analysis', minRequests: step.analysis?.minRequests };
}

function blueGreenSteps(plan: RolloutPlan): Step[] {
  const { replicas, shadowPercent, previewSec, autoSwitch, holdSec } = plan.blueGreen ?? blueGreenSchema.parse({});
  const steps: Step[] = [{ kind: 'scale', replicas }];
  if (shadowPercent > 0) steps.push({ kind: 'shadow', percent: shadowPercent, holdSec: previewSec });
  else if (previewSec > 0) steps.push({ kind: 'pause', durationSec: previewSec });
  if (!autoSwitch) steps.push({ kind: 'pause', durationSec: undefined });
  steps.push({ kind: 'weight', percent: 100, holdSec, analyse: true });
  return steps;
}

/** Each share is first made room for: replicas in the same proportion, and at least one for either revision. */
function inPlace(steps: readonly Step[], replicas: number): Step[] {
  let candidate = 0;
  return steps.flatMap((step): Step[] => {
    if (step.kind !== 'weight') return [step];
    const wanted = Math.min(replicas - 1, Math.max(1, Math.round((replicas * step.percent) / 100)));
    if (wanted === candidate) return [step];
    candidate = wanted;
    return [{ kind: 'room', stable: replicas - wanted }, { kind: 'grow', candidate: wanted }, step];
  });
}

/** Shares make no sense where only one revision can run: everything moves at once, and is watched as long as the last share. */
function recreate(steps: readonly Step[]): Step[] {
  const last = steps.findLast((step) => step.kind === 'weight');
  const holdSec = last?.kind === 'weight' ? last.holdSec : DEFAULT_HOLD_SEC;
  return [
    { kind: 'room', stable: 0 },
    { kind: 'grow', candidate: 1 },
    { kind: 'weight', percent: 100, holdSec, analyse: true },
  ];
}

function isPause(step: WrittenStep | undefined): boolean {
  return step?.pause !== undefined;
}
