/** How the API shows what an analysis came to. */
import { z } from '@hono/zod-openapi';

const verdict = z
  .enum(['worse', 'not_worse', 'unclear'])
  .describe('worse and not_worse are shown with confidence, at whatever time one looks; anything else is unclear.');

const arm = z
  .object({
    hits: z.number().describe('Of what is counted: errors, slow requests, wrong answers, missing reward.'),
    total: z.number(),
    low: z.number().describe('Least rate that the numbers do not speak against.'),
    high: z.number().describe('Greatest one.'),
  })
  .openapi('ComparedArm');

const metric = z
  .object({
    metric: z.string().describe('Its name in the plan.'),
    measures: z.enum(['errors', 'latency', 'drift', 'shadow', 'reward', 'accuracy', 'prometheus', 'webhook']),
    kind: verdict,
    words: z.string().describe('The numbers in plain words.'),
    candidate: arm.optional(),
    stable: arm.optional(),
    difference: z
      .object({ low: z.number(), high: z.number() })
      .optional()
      .describe("How far the candidate's rate lies above the stable's: at least low, at most high."),
    margin: z.number().optional().describe('What is allowed.'),
    alpha: z.number().optional().describe("Its part of the plan's alpha."),
    value: z.number().optional().describe('As measured elsewhere, or the distance of a drift.'),
  })
  .openapi('MetricVerdict');

/** A verdict over all metrics of a rollout's plan. */
export const analysisViewSchema = z
  .object({ kind: verdict, reason: z.string(), metrics: z.array(metric).readonly() })
  .openapi('Analysis');
