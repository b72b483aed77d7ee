/** What an endpoint is made of. The schemas validate the API and the YAML, fill in the defaults, and document both. */
import { z } from 'zod';
import { banditSchema } from '../bandit/settings.js';
import { feedbackSchema } from '../feedback/settings.js';
import { resilienceSchema } from '../inference/resilience.js';
import { responseCacheSchema } from '../inference/response-cache/settings.js';
import { choiceFields } from '../inference/routing/settings.js';
import { shadowSchema } from '../inference/shadow/settings.js';
import { payloadLogSchema } from '../payload-log/settings.js';
import { type PromotionPolicy, policySchema } from '../promotions/policy.js';
import { NAME } from '../training/spec.js';
import { placementSchema } from './placement.js';
import { runtimeSchema } from './runtime.js';

export const scalingSchema = z
  .object({
    minReplicas: z.number().int().min(0).max(1000).default(0).describe('Replicas kept when idle; 0 scales to zero.'),
    maxReplicas: z.number().int().min(1).max(1000).default(2).describe('Most replicas of one revision.'),
    concurrency: z
      .number()
      .int()
      .min(1)
      .max(1000)
      .default(64)
      .describe('Requests that one replica handles at once, exactly.'),
    targetUtilization: z
      .number()
      .min(0.05)
      .max(1)
      .default(0.7)
      .describe('Share of the concurrency that the autoscaler aims at.'),
    stableWindowSec: z
      .number()
      .int()
      .min(6)
      .max(3600)
      .default(60)
      .describe('Window that the autoscaler averages over, in seconds.'),
    scaleDownDelaySec: z
      .number()
      .int()
      .min(0)
      .max(3600)
      .default(0)
      .describe('Time that a lower load must hold before replicas go, in seconds.'),
    scaleToZeroGraceSec: z
      .number()
      .min(0)
      .max(3600)
      .default(30)
      .describe('Time from idle to the end of the last replica, in seconds, after the stable window.'),
    queueTimeoutSec: z
      .number()
      .min(0.1)
      .max(600)
      .default(30)
      .describe('Longest that a request waits for a replica, in seconds.'),
    maxQueueDelayMs: z
      .number()
      .min(1)
      .max(600_000)
      .default(1000)
      .describe(
        'With all replicas at work: how long requests may stand in a queue, in milliseconds, before more are refused (429). Never less than one request takes.',
      ),
    threads: z.number().int().min(1).max(256).default(1).describe('Threads of the inference engine in each replica.'),
  })
  .strict()
  .refine((scaling) => scaling.minReplicas <= scaling.maxReplicas, {
    message: 'must be at most maxReplicas',
    path: ['minReplicas'],
  });

export const SCALING_DEFAULTS: Scaling = scalingSchema.parse({});

export const routingSchema = z
  .object({
    ...choiceFields,
    shadow: shadowSchema
      .optional()
      .describe('How answers of shadows are compared, and how much copies may take; its defaults when absent.'),
    feedback: feedbackSchema.optional().describe('Clients report what came of the answers.'),
    bandit: banditSchema.optional().describe('Traffic follows what clients report.'),
    resilience: resilienceSchema
      .optional()
      .describe('Retries, replicas left out, hedges and fallback; absent: the defaults.'),
    outputs: z
      .array(z.string().min(1).max(200))
      .max(16)
      .optional()
      .describe(
        'Outputs whose values are counted all the time; those that a rollout compares are counted while it is in flight.',
      ),
  })
  .strict()
  .refine(({ stickyHeader, sticky }) => stickyHeader === undefined || sticky === undefined, {
    message: 'says the same as stickyHeader: name one of them',
    path: ['sticky'],
  })
  .refine(({ bandit, feedback }) => !bandit?.enabled || feedback?.enabled === true, {
    message: 'needs routing.feedback.enabled: without feedback there is no reward',
    path: ['bandit'],
  });

export const endpointSpecSchema = z
  .object({
    name: NAME.describe('The stable name that clients call.'),
    model: NAME.describe('The model whose versions it serves.'),
    access: z
      .enum(['key', 'public'])
      .default('key')
      .describe('Who may predict: holders of a key, or anyone who reaches the gateway.'),
    scaling: scalingSchema.prefault({}),
    routing: routingSchema.prefault({}),
    policy: policySchema.prefault({}),
    runtime: runtimeSchema.prefault({}),
    placement: placementSchema.prefault({}),
    payloadLog: payloadLogSchema.nullable().default(null).describe('Records requests and answers; null records none.'),
    responseCache: responseCacheSchema.prefault({}),
  })
  .strict();

export const trafficTargetSchema = z
  .object({
    revision: z.number().int().min(1),
    percent: z.number().min(0).max(100).describe('Share of the requests, in percent; fractions count, such as 0.125.'),
    tag: NAME.optional().describe('Name by which requests can ask for this target.'),
    shadowPercent: z
      .number()
      .min(0)
      .max(100)
      .optional()
      .describe(
        "Copies of so many percent of the endpoint's requests go to this revision; its answers to them are compared and thrown away.",
      ),
  })
  .strict();

export const trafficSchema = z
  .array(trafficTargetSchema)
  .max(64)
  .superRefine((targets, context) => {
    const sum = targets.reduce((total, target) => total + target.percent, 0);
    if (targets.length > 0 && Math.abs(sum - 100) > 1e-6) {
      context.addIssue({ code: 'custom', message: `percents must add up to 100, not ${Number(sum.toFixed(6))}` });
    }
    const revisions = targets.map((target) => target.revision);
    const twice = revisions.find((revision, at) => revisions.indexOf(revision) !== at);
    if (twice !== undefined) context.addIssue({ code: 'custom', message: `revision ${twice} is named twice` });
    const tags = targets.flatMap((target) => (target.tag ? [target.tag] : []));
    const tagTwice = tags.find((tag, at) => tags.indexOf(tag) !== at);
    if (tagTwice !== undefined) context.addIssue({ code: 'custom', message: `tag ${tagTwice} is used twice` });
  });

export type Scaling = z.infer<typeof scalingSchema>;
export type EndpointRouting = z.infer<typeof routingSchema>;
export type { PromotionPolicy };
export type EndpointSpec = z.infer<typeof endpointSpecSchema>;
export type TrafficTarget = z.infer<typeof trafficTargetSchema>;

/** The target with the largest share, the earlier one of equals: what an endpoint serves when one revision is asked for. */
export function mainTarget<T extends { readonly percent: number }>(targets: readonly T[]): T | undefined {
  return [...targets].sort((a, b) => b.percent - a.percent)[0];
}
