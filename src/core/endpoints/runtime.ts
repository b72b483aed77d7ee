/** How the model servers of an endpoint run its models. A revision keeps what it was made with. */
import { z } from 'zod';

const MAX_ROWS = 65_536;

export const batchingSchema = z
  .object({
    maxRows: z
      .number()
      .int()
      .min(1)
      .max(MAX_ROWS)
      .default(32)
      .describe('Most rows that are run together; 1 turns batching off. A larger request runs alone, whole.'),
    delayMs: z
      .number()
      .min(0)
      .max(10_000)
      .default(0)
      .describe('How long a request may wait for others, in milliseconds. 0: a batch is what waits already.'),
    preferredRows: z
      .array(z.number().int().min(1).max(MAX_ROWS))
      .max(32)
      .default([])
      .describe('Batch sizes that suit the model: where as many rows wait, the largest of these is taken.'),
  })
  .strict();

/** An infer request in the protocol's JSON, or a made-up one of so many rows of zeros. */
const warmupRequestSchema = z
  .record(z.string(), z.unknown())
  .refine((request) => 'rows' in request !== 'inputs' in request, 'must have either inputs, or rows alone');

export const runtimeSchema = z
  .object({
    batching: batchingSchema.prefault({}),
    instances: z
      .number()
      .int()
      .min(1)
      .max(64)
      .default(1)
      .describe(
        'Inferences that compute at the same time in each replica; what an engine cannot share takes its memory as often.',
      ),
    device: z
      .enum(['auto', 'cpu', 'gpu'])
      .default('auto')
      .describe('Where to compute: auto takes a GPU where there is one. A replica says what it got, and why.'),
    warmup: z
      .array(warmupRequestSchema)
      .max(100)
      .default([])
      .describe('Requests that a replica must have answered before it counts as ready.'),
    options: z
      .record(z.string().min(1).max(100), z.unknown())
      .default({})
      .describe("The engine's own settings, such as graphOptimizationLevel: see docs/engines.md."),
  })
  .strict();

export type RuntimeSettings = z.infer<typeof runtimeSchema>;

export const DEFAULT_RUNTIME: RuntimeSettings = runtimeSchema.parse({});
