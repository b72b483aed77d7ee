/** How the API shows training jobs, their lines and their metrics. */
import { z } from '@hono/zod-openapi';
import type { Selectable } from 'kysely';
import type { Schema } from '../core/schema.js';
import type { LogStream } from '../core/training/runner.js';
import { type JobState, jobSpecSchema } from '../core/training/spec.js';
import { time } from './openapi.js';

const STATES = ['queued', 'running', 'succeeded', 'failed', 'cancelled'] as const satisfies readonly JobState[];
const STREAMS = ['stdout', 'stderr', 'system'] as const satisfies readonly LogStream[];

/** Where a job is in its life. */
export const jobStateSchema = z.enum(STATES);

/** A job as lists show it. */
export const jobSummarySchema = z
  .object({
    id: z.string(),
    name: z.string(),
    state: jobStateSchema,
    phase: z.string().describe('What a job under way does now.'),
    attempt: z.number().int().describe('0 before the first.'),
    reason: z.string().describe('Why it is where it is.'),
    exitCode: z.number().int().nullable(),
    model: z.string().nullable(),
    version: z.number().int().nullable().describe('The model version that it yielded.'),
    createdAt: time,
    startedAt: time.nullable(),
    endedAt: time.nullable(),
  })
  .openapi('JobSummary');

/** A job with everything but its lines. */
export const jobSchema = jobSummarySchema
  .extend({
    spec: jobSpecSchema,
    metrics: z.record(z.string(), z.number()).describe('The last value of each, of the current attempt.'),
    promotions: z.array(z.object({ id: z.string(), endpoint: z.string(), state: z.string() })),
  })
  .openapi('Job');

/** A line of output. */
export const lineSchema = z
  .object({ seq: z.number().int(), attempt: z.number().int(), stream: z.enum(STREAMS), text: z.string(), at: time })
  .openapi('LogLine');

/** A value that a job reported. */
export const metricSchema = z
  .object({
    seq: z.number().int(),
    attempt: z.number().int(),
    name: z.string(),
    value: z.number(),
    step: z.number().nullable(),
    at: time,
  })
  .openapi('Metric');

/** A job's row as lists show it. */
export function jobSummaryView(row: Selectable<Schema['jobs']>): z.infer<typeof jobSummarySchema> {
  return {
    id: row.id,
    name: row.name,
    state: row.state,
    phase: row.phase,
    attempt: row.attempt,
    reason: row.reason,
    exitCode: row.exit_code,
    model: row.spec.model ?? null,
    version: row.version,
    createdAt: row.created_at.toISOString(),
    startedAt: row.started_at?.toISOString() ?? null,
    endedAt: row.ended_at?.toISOString() ?? null,
  };
}

/** A line's row as the API shows it. */
export function lineView(row: Selectable<Schema['job_logs']>): z.infer<typeof lineSchema> {
  return { seq: row.seq, attempt: row.attempt, stream: row.stream, text: row.text, at: row.at.toISOString() };
}

/** A metric's row as the API shows it. */
export function metricView(row: Selectable<Schema['job_metrics']>): z.infer<typeof metricSchema> {
  return {
    seq: row.seq,
    attempt: row.attempt,
    name: row.name,
    value: row.value,
    step: row.step,
    at: row.at.toISOString(),
  };
}
