/** The gates that a candidate must pass before it sees traffic, as they are set. */
import { z } from 'zod';
import { NAME } from '../training/spec.js';
import { METRICS } from './score.js';

const bounds = {
  min: z.number().optional().describe('Least allowed value.'),
  max: z.number().optional().describe('Most allowed value.'),
};

type Bounds = { min?: number | undefined; max?: number | undefined };

function boundsInOrder({ min, max }: Bounds): boolean {
  return min === undefined || max === undefined || min <= max;
}

const OUT_OF_ORDER = { message: 'must be at most max', path: ['min'] };

const maxRegression = z
  .number()
  .min(0)
  .optional()
  .describe('How much worse than the serving revision it may be, on the same data, evaluated now.');

const ratio = (what: string) =>
  z.number().min(0.01).max(1000).optional().describe(`Most that its ${what} may be of the serving revision's.`);

const conditionSchema = z
  .object({
    equals: z.union([z.number(), z.string(), z.boolean()]).optional(),
    min: z.number().optional().describe('Least value that belongs to the slice.'),
    max: z.number().optional().describe('Greatest value that belongs to the slice.'),
  })
  .strict()
  .refine((where) => Object.values(where).some((one) => one !== undefined), 'must name equals, min or max')
  .refine(({ equals, min, max }) => equals === undefined || (min === undefined && max === undefined), {
    message: 'stands alone, without min and max',
    path: ['equals'],
  })
  .refine(boundsInOrder, OUT_OF_ORDER);

export const sliceSchema = z
  .object({
    name: z.string().min(1).max(100),
    column: z
      .string()
      .min(1)
      .max(250)
      .optional()
      .describe('A column of the dataset that the model does not see (`columns` of its document).'),
    input: z.string().min(1).max(250).optional().describe('Or an input of the model.'),
    at: z.number().int().min(0).optional().describe('Which value of a row of the input; the first when absent.'),
    where: conditionSchema.describe('The rows that belong to it.'),
    ...bounds,
    maxRegression,
  })
  .strict()
  .refine(({ column, input }) => (column === undefined) !== (input === undefined), {
    message: 'needs one of column and input',
    path: ['column'],
  })
  .refine(({ at, input }) => at === undefined || input !== undefined, { message: 'is for inputs', path: ['at'] })
  .refine(
    ({ min, max, maxRegression }) => [min, max, maxRegression].some((bound) => bound !== undefined),
    'must name min, max or maxRegression',
  )
  .refine(boundsInOrder, OUT_OF_ORDER);

const evaluationSchema = z
  .object({
    kind: z.literal('evaluation'),
    dataset: NAME.describe('Held-out data: inputs and expected outputs; its newest version is used.'),
    metric: z.enum(METRICS),
    output: z
      .string()
      .min(1)
      .max(250)
      .optional()
      .describe('The output of the model that is scored; the one that the dataset expects when absent.'),
    ...bounds,
    maxRegression,
    minImprovement: z.number().min(0).optional().describe('How much better than the serving revision it must be.'),
    confidence: z
      .number()
      .gt(0.5)
      .lt(1)
      .optional()
      .describe(
        'With this confidence the bounds against the serving revision must be shown to hold, by a paired test over the rows; without it the scores alone are compared.',
      ),
    slices: z
      .array(sliceSchema)
      .max(64)
      .default([])
      .describe('Parts of the data that must each keep their own bounds.'),
  })
  .strict()
  .refine(boundsInOrder, OUT_OF_ORDER)
  .superRefine(({ confidence, maxRegression, minImprovement, slices }, context) => {
    const names = slices.map((slice) => slice.name);
    const twice = names.findIndex((name, at) => names.indexOf(name) !== at);
    const issue = (path: (string | number)[], message: string) => context.addIssue({ code: 'custom', path, message });
    if (twice !== -1) issue(['slices', twice, 'name'], 'is the name of another slice');
    if (confidence === undefined) return;
    const compared = [maxRegression, minImprovement, ...slices.map((slice) => slice.maxRegression)];
    if (compared.every((bound) => bound === undefined))
      issue(['confidence'], 'is of a bound against the serving revision: set maxRegression or minImprovement too');
    const never = 'must be above 0 where confidence is asked: no data shows that a model is not at all worse';
    if (maxRegression === 0 && minImprovement === undefined) issue(['maxRegression'], never);
    for (const [at, slice] of slices.entries())
      if (slice.maxRegression === 0) issue(['slices', at, 'maxRegression'], never);
  });

/** So many requests must lie above the quantile, or it is the luck of one. */
const ABOVE_QUANTILE = 5;

const latencySchema = z
  .object({
    kind: z.literal('latency'),
    dataset: NAME.optional().describe(
      'Rows that are sent, as evaluation and golden gates have them; zeros as the signature says when absent.',
    ),
    quantile: z.number().min(0.5).max(0.999).default(0.95),
    maxMs: z.number().positive().optional().describe('Most that the quantile may be, in milliseconds.'),
    maxRatio: ratio('quantile').describe(
      "Most that the quantile may be of the serving revision's, measured beside it, request by request in turns.",
    ),
    requests: z.number().int().min(10).max(10_000).default(200).describe('Requests that are measured, one at a time.'),
    warmup: z.number().int().min(0).max(1000).default(20).describe('Requests before them that are not.'),
    rows: z.number().int().min(1).max(1024).default(1).describe('Rows in a request.'),
  })
  .strict()
  .refine(({ maxMs, maxRatio }) => maxMs !== undefined || maxRatio !== undefined, 'must name maxMs or maxRatio')
  .superRefine(({ requests, quantile }, context) => {
    const least = Math.ceil(ABOVE_QUANTILE / (1 - quantile) - 1e-9);
    if (requests < least)
      context.addIssue({
        code: 'custom',
        path: ['requests'],
        message: `must be at least ${least} for quantile ${quantile}`,
      });
  });

const memorySchema = z
  .object({
    kind: z.literal('memory'),
    maxMb: z.number().positive().optional().describe('Most resident memory of the model server, in MiB.'),
    maxRatio: ratio('memory'),
    dataset: NAME.optional().describe('Rows that are sent; zeros as the signature says when absent.'),
    requests: z.number().int().min(0).max(10_000).default(50).describe('Requests before the last look.'),
  })
  .strict()
  .refine(({ maxMb, maxRatio }) => maxMb !== undefined || maxRatio !== undefined, 'must name maxMb or maxRatio');

const webhookSchema = z
  .object({
    kind: z.literal('webhook'),
    url: z
      .url({ protocol: /^https?$/ })
      .max(2048)
      .describe(
        'Is sent the evidence so far, signed as all webhooks are, and answers {"passed": true or false, "reason": "…"}.',
      ),
    timeoutSec: z.number().min(0.1).max(120).default(10).describe('How long an answer is waited for, in seconds.'),
    retries: z.number().int().min(0).max(10).default(3).describe('How often it is asked again when it gives none.'),
  })
  .strict();

export const gateSchema = z.discriminatedUnion('kind', [
  z
    .object({
      kind: z.literal('metric'),
      name: z.string().min(1).max(250).describe('A metric that the job reported.'),
      ...bounds,
    })
    .strict()
    .refine(boundsInOrder, OUT_OF_ORDER),
  evaluationSchema,
  z.object({ kind: z.literal('signature') }).strict(),
  z
    .object({
      kind: z.literal('golden'),
      dataset: NAME.describe('Requests that must be answered; where outputs are expected, they must agree.'),
      tolerance: z.number().min(0).default(1e-4).describe('Allowed absolute difference of numeric outputs.'),
    })
    .strict(),
  latencySchema,
  memorySchema,
  webhookSchema,
]);

export type Gate = z.infer<typeof gateSchema>;
export type GateOf<Kind extends Gate['kind']> = Extract<Gate, { kind: Kind }>;
export type Slice = z.infer<typeof sliceSchema>;
