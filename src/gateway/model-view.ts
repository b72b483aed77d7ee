/** How the API shows models and their versions. */
import { z } from '@hono/zod-openapi';
import type { Selectable } from 'kysely';
import { serverSchema } from '../core/models/server.js';
import type { Schema } from '../core/schema.js';
import { time } from './openapi.js';

const tensorSchema = z
  .object({ name: z.string(), datatype: z.string(), shape: z.array(z.number().int()).describe('-1 is variable.') })
  .openapi('TensorSpec');

/** A model without its versions. */
export const modelSummarySchema = z
  .object({
    name: z.string(),
    description: z.string(),
    createdAt: time,
    lastVersion: z.number().int().describe('0 while it has none.'),
  })
  .openapi('ModelSummary');

/** An immutable version. */
export const versionSchema = z
  .object({
    model: z.string(),
    version: z.number().int(),
    framework: z.string(),
    server: serverSchema.optional().describe("Of a version that somebody else's server serves."),
    signature: z.object({ inputs: z.array(tensorSchema), outputs: z.array(tensorSchema) }),
    metrics: z.record(z.string(), z.number()),
    artifact: z.object({
      digest: z.string(),
      bytes: z.number().int(),
      files: z.array(z.object({ path: z.string(), digest: z.string(), bytes: z.number().int() })),
    }),
    lineage: z
      .object({
        kind: z.enum(['upload', 'job']),
        jobId: z.string().optional(),
        attempt: z.number().int().optional(),
        code: z.string().optional().describe('Digest of the code.'),
        params: z.record(z.string(), z.unknown()).optional(),
        data: z.array(z.string()).readonly().optional().describe('Digests of the data, as far as known.'),
        actor: z.string(),
      })
      .describe('Where it came from.'),
    createdAt: time,
  })
  .openapi('ModelVersion');

/** A model with everything. */
export const modelSchema = modelSummarySchema
  .extend({
    aliases: z.record(z.string(), z.number().int()).openapi({ example: { champion: 3 } }),
    versions: z.array(versionSchema).describe('Newest first.'),
  })
  .openapi('Model');

/** A model's row as the API shows it. */
export function modelSummaryView(row: Selectable<Schema['models']>): z.infer<typeof modelSummarySchema> {
  return {
    name: row.name,
    description: row.description,
    createdAt: row.created_at.toISOString(),
    lastVersion: row.last_version,
  };
}

/** A version's row as the API shows it. */
export function versionView(row: Selectable<Schema['model_versions']>) {
  const { signature, artifact } = row;
  return {
    model: row.model,
    version: row.version,
    framework: row.framework,
    ...(row.server ? { server: row.server } : {}),
    signature: { inputs: signature.inputs.map(tensor), outputs: signature.outputs.map(tensor) },
    metrics: row.metrics,
    artifact: { digest: artifact.digest, bytes: artifact.bytes, files: [...artifact.files] },
    lineage: row.lineage,
    createdAt: row.created_at.toISOString(),
  };
}

function tensor(spec: { name: string; datatype: string; shape: readonly number[] }) {
  return { name: spec.name, datatype: spec.datatype, shape: [...spec.shape] };
}
