/** An endpoint's policy: what opens a promotion, what a version must show, who has to agree, how it takes over. */
import { z } from 'zod';
import { CHAMPION } from '../models/champion.js';
import { rolloutPlanSchema } from '../rollouts/plan.js';
import { NAME } from '../training/spec.js';
import { scheduleProblem } from './cron.js';
import { gateSchema } from './gate.js';

const DAY_SEC = 86_400;

const PATTERN = z
  .string()
  .regex(/^[a-z0-9*][a-z0-9*-]{0,62}$/, 'use 1 to 63 of a-z, 0-9, - and *')
  .describe('Only jobs of this name, in which * stands for anything; all when absent.');

export const triggerSchema = z.discriminatedUnion('on', [
  z.object({ on: z.literal('job_succeeded'), job: PATTERN.optional() }).strict(),
  z
    .object({
      on: z.literal('alias_moved'),
      alias: NAME.refine(
        (alias) => alias !== CHAMPION,
        `must be another one than ${CHAMPION}, which promotions move themselves`,
      ).describe("An alias of the endpoint's model: the version that it is moved to is promoted."),
    })
    .strict(),
  z
    .object({
      on: z.literal('schedule'),
      cron: z.string().max(200).describe('Minute, hour, day of month, month, day of week; or @daily and the like.'),
      timezone: z.string().max(64).default('UTC').describe('Of the IANA data base, such as Europe/Berlin.'),
      version: NAME.default('latest').describe('"latest", or an alias. A version is taken up once by schedules.'),
    })
    .strict()
    .superRefine((schedule, context) => {
      const problem = scheduleProblem(schedule);
      if (problem) context.addIssue({ code: 'custom', path: ['cron'], message: problem });
    }),
]);

export const approvalSchema = z
  .object({
    kind: z
      .enum(['automatic', 'one', 'two'])
      .default('automatic')
      .describe(
        'How many people must approve once all gates have passed. "two" are two different ones, neither of them who asked for the promotion.',
      ),
    expirySec: z
      .number()
      .int()
      .min(60)
      .max(90 * DAY_SEC)
      .default(7 * DAY_SEC)
      .describe('How long a promotion waits for approval before it ends as expired, in seconds.'),
    by: z
      .array(z.string().min(1).max(250))
      .min(1)
      .max(64)
      .optional()
      .describe('Names of the keys whose holders may approve; all administrators when absent.'),
  })
  .strict()
  .refine(({ kind, by }) => kind !== 'two' || by === undefined || new Set(by).size >= 2, {
    message: 'must name at least 2, as two people have to approve',
    path: ['by'],
  });

export const policySchema = z
  .object({
    auto: z
      .boolean()
      .default(true)
      .describe('Whether triggers open promotions; without them only people and hooks do.'),
    triggers: z
      .array(triggerSchema)
      .max(32)
      .default([{ on: 'job_succeeded' }])
      .describe('What opens a promotion on its own.'),
    gates: z
      .array(gateSchema)
      .max(32)
      .default([{ kind: 'signature' }])
      .describe('Checked in this order; the model is always loaded in the real runtime first.'),
    approval: approvalSchema.prefault({}),
    newestWins: z
      .boolean()
      .default(true)
      .describe('Whether a promotion gives way where a newer version went live, or began to, while it was checked.'),
    rollout: rolloutPlanSchema.prefault({}),
  })
  .strict();

export type Approval = z.infer<typeof approvalSchema>;
export type PolicyTrigger = z.infer<typeof triggerSchema>;
export type PromotionPolicy = z.infer<typeof policySchema>;

/** How many people have to approve. */
export const APPROVALS: Readonly<Record<Approval['kind'], number>> = { automatic: 0, one: 1, two: 2 };

/** The triggers of a policy that are on. */
export function triggersOf(policy: Pick<PromotionPolicy, 'auto' | 'triggers'>): readonly PolicyTrigger[] {
  return policy.auto ? policy.triggers : [];
}

/** Whether the end of a job of this name opens a promotion. */
export function wantsJob(policy: Pick<PromotionPolicy, 'auto' | 'triggers'>, job: string): boolean {
  return triggersOf(policy).some((one) => one.on === 'job_succeeded' && matches(one.job ?? '*', job));
}

/** Whether a move of this alias opens a promotion. */
export function wantsAlias(policy: Pick<PromotionPolicy, 'auto' | 'triggers'>, alias: string): boolean {
  return triggersOf(policy).some((one) => one.on === 'alias_moved' && one.alias === alias);
}

/** Names have nothing that means something in an expression, but for the star. */
function matches(pattern: string, name: string): boolean {
  return new RegExp(`^${pattern.replaceAll(/\*+/g, '.*')}$`).test(name);
}
