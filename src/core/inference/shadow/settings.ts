/** What an endpoint says of its shadows: how their answers are compared, and how much copies may take. */
import { z } from 'zod';

const tolerance = z.number().min(0).max(1e30);

const outputSchema = z
  .object({
    absoluteTolerance: tolerance.optional().describe("The endpoint's when absent; 0 for integers."),
    relativeTolerance: tolerance.optional().describe("The endpoint's when absent; 0 for integers."),
    ignore: z.boolean().default(false).describe('Whether this output is not compared at all.'),
  })
  .strict();

export const shadowSchema = z
  .object({
    absoluteTolerance: tolerance
      .default(1e-5)
      .describe('Floating-point numbers this far apart agree, whatever their size.'),
    relativeTolerance: tolerance
      .default(1e-3)
      .describe('Floating-point numbers this far apart agree, as a share of the real one.'),
    outputs: z
      .record(z.string().min(1).max(256), outputSchema)
      .default({})
      .describe(
        'Outputs, by name, that are compared otherwise. Integers are compared exactly where nothing is said here.',
      ),
    maxInFlight: z
      .number()
      .int()
      .min(1)
      .max(10_000)
      .default(64)
      .describe('Copies of the endpoint that one gateway has under way; more are not made.'),
    maxBodyBytes: z
      .number()
      .int()
      .min(1)
      .max(64 * 2 ** 20)
      .default(2 ** 20)
      .describe('A larger request is not copied, a larger answer not compared; in bytes.'),
    timeoutMs: z
      .number()
      .int()
      .min(1)
      .max(600_000)
      .default(10_000)
      .describe('How long a shadow has for its answer, the start of a replica included, in milliseconds.'),
  })
  .strict();

export type ShadowSettings = z.infer<typeof shadowSchema>;
export type OutputTolerance = z.infer<typeof outputSchema>;

export const DEFAULT_SHADOW: ShadowSettings = shadowSchema.parse({});
