/** How the API shows batch predictions. */
import { z } from '@hono/zod-openapi';
import { batchSpecSchema } from '../core/batch/spec.js';
import type { BatchRow } from '../core/batch/store.js';
import { component, time, workStateSchema } from './openapi.js';

/** What is asked for. */
export const batchRequestSchema = component('BatchRequest', batchSpecSchema);

/** One as lists show it. */
export const batchSummarySchema = z
  .object({
    id: z.string(),
    name: z.string(),
    endpoint: z.string(),
    state: workStateSchema,
    phase: z.string().describe('What one under way does now.'),
    attempt: z.number().int().describe('0 before the first.'),
    reason: z.string().describe('Why it is where it is.'),
    revision: z.number().int().nullable().describe('The one that answers all rows.'),
    rowsTotal: z.number().int().nullable().describe('Null until they are counted.'),
    rowsDone: z.number().int(),
    rowsBad: z.number().int().describe('Rows that failed and became null.'),
    createdAt: time,
    startedAt: time.nullable(),
    endedAt: time.nullable(),
  })
  .openapi('BatchSummary');

/** One with everything. */
export const batchSchema = batchSummarySchema
  .extend({
    spec: batchRequestSchema,
    rowsPerSecond: z.number().describe('Lately; over all of it once it has ended.'),
    result: z
      .object({ digest: z.string(), bytes: z.number().int(), rows: z.number().int(), format: z.string() })
      .nullable()
      .describe('Downloaded at its address, or by its digest like anything that the project uploaded.'),
  })
  .openapi('Batch');

/** A row as lists show it. */
export function batchSummaryView(row: BatchRow): z.infer<typeof batchSummarySchema> {
  return {
    id: row.id,
    name: row.name,
    endpoint: row.endpoint,
    state: row.state,
    phase: row.state === 'running' ? row.phase : '',
    attempt: row.attempt,
    reason: row.reason,
    revision: row.revision,
    rowsTotal: row.rows_total,
    rowsDone: row.rows_done,
    rowsBad: row.rows_bad,
    createdAt: row.created_at.toISOString(),
    startedAt: row.started_at?.toISOString() ?? null,
    endedAt: row.ended_at?.toISOString() ?? null,
  };
}

/** A row with everything. */
export function batchView(row: BatchRow, rowsPerSecond: number): z.infer<typeof batchSchema> {
  const { result_digest: digest, result_bytes: bytes, rows_done: rows, spec } = row;
  return {
    ...batchSummaryView(row),
    spec,
    rowsPerSecond: Math.round(rowsPerSecond * 10) / 10,
    result: digest === null ? null : { digest, bytes: bytes ?? 0, rows, format: spec.output.format },
  };
}
