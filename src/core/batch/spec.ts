/** What a batch prediction says of itself. The same schema validates the API and makes the OpenAPI document. */
import { z } from 'zod';
import { DIGEST_PATTERN } from '../blobs.js';
import { TABLE_FORMATS } from '../tables/format.js';
import type { Layout } from '../tables/layout.js';
import { NAME } from '../training/spec.js';

const formatSchema = z.enum(TABLE_FORMATS);
const columnName = z.string().min(1).max(256);

const inputSchema = z
  .object({
    dataset: NAME.optional().describe('A dataset, by its name; or `digest`.'),
    version: z.number().int().min(1).optional().describe('Of the dataset; default: the newest.'),
    digest: z.string().regex(DIGEST_PATTERN, 'must be sha256: and 64 hex digits').optional(),
    format: formatSchema,
    columns: z
      .record(z.string().min(1), z.union([columnName, z.array(columnName).min(1).max(100_000)]))
      .default({})
      .describe('Input of the model → the column that it comes from, or its columns in order.'),
  })
  .strict()
  .refine(({ dataset, digest }) => (dataset === undefined) !== (digest === undefined), 'say either dataset or digest')
  .refine(({ dataset, version }) => version === undefined || dataset !== undefined, 'a version is one of a dataset');

const outputSchema = z
  .object({
    format: formatSchema,
    outputs: z
      .array(z.string().min(1))
      .min(1)
      .optional()
      .describe('Outputs of the model to keep; default: all. For npy exactly one.'),
  })
  .strict();

export const batchSpecSchema = z
  .object({
    name: NAME.optional().describe('What people call it; default: the endpoint.'),
    endpoint: z.string().min(1).max(256),
    revision: z
      .number()
      .int()
      .min(1)
      .optional()
      .describe('Which revision answers; default: the one with the most traffic when the work begins.'),
    input: inputSchema,
    output: outputSchema,
    rowsPerRequest: z.number().int().min(1).max(100_000).optional().describe('Default: about 1000, as it goes.'),
    concurrency: z.number().int().min(1).max(64).default(8).describe('Requests under way at once.'),
    timeLimitSec: z
      .number()
      .int()
      .min(1)
      .max(14 * 86_400)
      .default(86_400)
      .describe('From its submission; it fails if it has not ended by then.'),
    onError: z
      .enum(['fail', 'null'])
      .default('fail')
      .describe('A row that cannot be read or predicted fails the job, or becomes a row of nulls and what was wrong.'),
  })
  .strict()
  .refine(
    ({ output }) => output.format !== 'npy' || (output.outputs?.length ?? 1) === 1,
    'npy holds one array: output.outputs must name one output',
  )
  .refine(
    ({ onError, output }) => onError === 'fail' || output.format !== 'npy',
    'npy has no place for what is wrong with a row: onError must be "fail"',
  );

export type BatchSpec = z.infer<typeof batchSpecSchema>;

/** How a batch is worked on, found out once by its first worker. */
export interface BatchPlan {
  readonly layout: Layout;
}
