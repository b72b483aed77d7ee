/** What a rollout's plan says of its analysis: which metrics both revisions are compared by, and how surely. */
import { z } from 'zod';

const share = (fallback: number, words: string) => z.number().min(0).max(1).default(fallback).describe(words);

const base = {
  name: z
    .string()
    .min(1)
    .max(100)
    .optional()
    .describe('What verdicts call it. Default: what it measures, such as "errors" or "latency p95".'),
};

const tested = {
  ...base,
  weight: z.number().gt(0).max(1000).default(1).describe("Its part of alpha, beside the other metrics' weights."),
};

const errors = z
  .object({
    kind: z.literal('errors'),
    ...tested,
    maxIncrease: share(0.02, 'Error rate above the stable revision that still passes (0.02 = two percentage points).'),
  })
  .strict();

const latency = z
  .object({
    kind: z.literal('latency'),
    ...tested,
    quantile: z
      .union([z.literal(0.5), z.literal(0.9), z.literal(0.95), z.literal(0.99)])
      .default(0.95)
      .describe("Of the stable revision's latency, taken when the comparison begins."),
    slowFactor: z
      .number()
      .min(1)
      .max(100)
      .default(2)
      .describe('A request is slow beyond this multiple of that quantile, rounded up to a bound of the histogram.'),
    maxIncrease: share(0.05, "Share of slow requests, above the stable revision's, that still passes."),
  })
  .strict();

const drift = z
  .object({
    kind: z.literal('drift'),
    ...tested,
    output: z.string().min(1).max(200).describe('Name of the output whose values are compared.'),
    maxDistance: share(
      0.2,
      'Total-variation distance that still passes: how much of the answers would have to change for both to be alike.',
    ),
  })
  .strict();

const shadow = z
  .object({
    kind: z.literal('shadow'),
    ...tested,
    maxDisagreement: share(0.01, "Share of the copies whose answer may differ from the stable revision's."),
  })
  .strict();

const reward = z
  .object({
    kind: z.literal('reward'),
    ...tested,
    maxDecrease: share(0.02, 'Mean reward below the stable revision that still passes.'),
  })
  .strict();

const accuracy = z
  .object({
    kind: z.literal('accuracy'),
    ...tested,
    maxDecrease: share(0.02, 'Share of right answers below the stable revision that still passes.'),
  })
  .strict();

const httpUrl = z
  .url({ protocol: /^https?$/ })
  .max(2048)
  .refine((text) => URL.canParse(text) && new URL(text).password === '', 'must hold no password');

const asked = {
  ...base,
  intervalSec: z
    .number()
    .min(10)
    .max(86_400)
    .default(30)
    .describe('Time from one measurement to the next, in seconds.'),
  failureLimit: z
    .number()
    .int()
    .min(0)
    .max(1000)
    .default(0)
    .describe('So many bad measurements in a row hold the rollout; one more rolls it back.'),
};

const prometheus = z
  .object({
    kind: z.literal('prometheus'),
    ...asked,
    query: z
      .string()
      .min(1)
      .max(4000)
      .describe(
        'PromQL that gives one number. {{candidate}}, {{stable}} and {{endpoint}} are put in; {{revision}} with maxIncrease, which asks once for each.',
      ),
    url: httpUrl.optional().describe('Of the Prometheus server. Default: SLUICE_PROMETHEUS_URL.'),
    max: z.number().optional().describe('Greatest value that passes.'),
    min: z.number().optional().describe('Least value that passes.'),
    maxIncrease: z.number().optional().describe("The candidate's value less the stable's that still passes."),
  })
  .strict()
  .refine(
    ({ max, min, maxIncrease }) => max !== undefined || min !== undefined || maxIncrease !== undefined,
    'needs at least one of max, min and maxIncrease',
  )
  .refine(({ query, maxIncrease }) => maxIncrease === undefined || query.includes('{{revision}}'), {
    message: 'must hold {{revision}} with maxIncrease',
    path: ['query'],
  });

const webhook = z
  .object({
    kind: z.literal('webhook'),
    ...asked,
    url: httpUrl.describe('Posted the facts of the rollout, signed; its answer is the verdict.'),
  })
  .strict();

export const metricSchema = z.discriminatedUnion('kind', [
  errors,
  latency,
  drift,
  shadow,
  reward,
  accuracy,
  prometheus,
  webhook,
]);

export const analysisSchema = z
  .object({
    metrics: z
      .array(metricSchema)
      .min(1)
      .max(16)
      .superRefine((metrics, context) => {
        const names = metrics.map(nameOf);
        const twice = names.find((name, at) => names.indexOf(name) !== at);
        if (twice !== undefined)
          context.addIssue({ code: 'custom', message: `two metrics are called "${twice}": name them apart` });
      })
      .prefault([{ kind: 'errors' }, { kind: 'latency' }])
      .describe('What both revisions are compared by; each must be shown to be not worse, and any may roll back.'),
    minRequests: z
      .number()
      .int()
      .min(1)
      .max(1_000_000)
      .default(100)
      .describe('Candidate requests that each step must see.'),
    minStableRequests: z
      .number()
      .int()
      .min(0)
      .max(1_000_000)
      .default(0)
      .describe('Requests of the stable revision that the comparison must have seen before anything passes.'),
    warmupRequests: z
      .number()
      .int()
      .min(0)
      .max(1_000_000)
      .default(0)
      .describe(
        'Candidate requests before the comparison begins. What both revisions did before is not compared: a regression is seen only after it.',
      ),
    warmupSec: z
      .number()
      .min(0)
      .max(86_400)
      .default(0)
      .describe("Time from the candidate's first request before the comparison begins, in seconds."),
    alpha: z
      .number()
      .min(0.0001)
      .max(0.5)
      .default(0.05)
      .describe('Chance of rolling back an equal candidate, over the whole rollout, however often it is looked at.'),
  })
  .strict();

export type AnalysisPlan = z.infer<typeof analysisSchema>;
export type Metric = z.infer<typeof metricSchema>;
export type MetricKind = Metric['kind'];
export type MetricOf<K extends MetricKind> = Extract<Metric, { kind: K }>;

/** Metrics that are tested on counts of our own; the others are asked elsewhere. */
export type TestedMetric = Exclude<Metric, MetricOf<'prometheus' | 'webhook'>>;
export type AskedMetric = MetricOf<'prometheus' | 'webhook'>;

export function isAsked(metric: Metric): metric is AskedMetric {
  return metric.kind === 'prometheus' || metric.kind === 'webhook';
}

/** What verdicts call a metric. */
export function nameOf(metric: Metric): string {
  if (metric.name !== undefined) return metric.name;
  switch (metric.kind) {
    case 'latency':
      return `latency p${Math.round(metric.quantile * 100)}`;
    case 'drift':
      return `drift of ${metric.output}`;
    default:
      return metric.kind;
  }
}

/** Each tested metric's part of alpha. */
export function alphaOf(plan: AnalysisPlan, metric: TestedMetric): number {
  const weights = plan.metrics.reduce((sum, other) => (isAsked(other) ? sum : sum + other.weight), 0);
  return (plan.alpha * metric.weight) / weights;
}
