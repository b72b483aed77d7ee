/** How the API shows asynchronous predictions. */
import { z } from '@hono/zod-openapi';
import { type PredictionRow, statusOf } from '../core/predictions/ends.js';
import { locationOf } from '../core/predictions/spec.js';
import { time, workStateSchema } from './openapi.js';

/** One without an answer yet. */
export const predictionSummarySchema = z
  .object({ id: z.string(), state: workStateSchema, location: z.string() })
  .openapi('PredictionSummary');

/** One as lists show it. */
export const predictionSchema = z
  .object({
    id: z.string(),
    endpoint: z.string(),
    state: workStateSchema,
    status: z.number().int().nullable().describe('HTTP status of its answer, once it has ended.'),
    reason: z.string().describe('Why it is where it is.'),
    attempt: z.number().int().describe('0 before the first.'),
    bodyBytes: z.number().int(),
    resultBytes: z.number().int().nullable(),
    location: z.string(),
    createdAt: time,
    startedAt: time.nullable(),
    endedAt: time.nullable(),
    deadlineAt: time,
  })
  .openapi('Prediction');

/** A prediction's row as lists show it. */
export function predictionView(row: PredictionRow): z.infer<typeof predictionSchema> {
  return {
    id: row.id,
    endpoint: row.endpoint,
    state: row.state,
    status: row.ended_at === null ? null : statusOf(row),
    reason: row.reason,
    attempt: row.attempt,
    bodyBytes: row.body_bytes,
    resultBytes: row.result_bytes,
    location: locationOf(row.id),
    createdAt: row.created_at.toISOString(),
    startedAt: row.started_at?.toISOString() ?? null,
    endedAt: row.ended_at?.toISOString() ?? null,
    deadlineAt: row.deadline_at.toISOString(),
  };
}
