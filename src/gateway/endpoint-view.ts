/** How the API shows endpoints, their revisions and what these did lately. */
import { z } from '@hono/zod-openapi';
import type { Selectable } from 'kysely';
import { endpointSpecSchema, scalingSchema, trafficTargetSchema } from '../core/endpoints/endpoint.js';
import { DEFAULT_PLACEMENT, placementSchema } from '../core/endpoints/placement.js';
import { DEFAULT_RUNTIME, runtimeSchema } from '../core/endpoints/runtime.js';
import type { RevisionStatus } from '../core/fleet.js';
import { DEFAULT_RESPONSE_CACHE, responseCacheSchema } from '../core/inference/response-cache/settings.js';
import { payloadLogSchema } from '../core/payload-log/settings.js';
import { type ArmStats, NO_STATS, quantile } from '../core/rollouts/analysis.js';
import type { Schema } from '../core/schema.js';
import { component, time } from './openapi.js';

/** One entry of an endpoint's traffic. */
export const targetSchema = component('TrafficTarget', trafficTargetSchema);

const latency = z.number().nullable().describe('Milliseconds; null without requests.');

/** What a revision answered in a window, over all gateways. */
export const statsSchema = z
  .object({
    requests: z.number().int(),
    errors: z.number().int().describe('Answers of 5xx, and those that never came.'),
    p50Ms: latency,
    p95Ms: latency,
    p99Ms: latency,
  })
  .openapi('Stats');

const statusSchema = z
  .object({
    ready: z.number().int(),
    starting: z.number().int(),
    busy: z.number().int().describe('Requests being answered.'),
    waiting: z.number().int().describe('Requests that wait for a replica.'),
    message: z.string(),
    failing: z.boolean(),
    replicas: z.array(
      z.object({
        id: z.string(),
        pid: z.number().int().nullable(),
        state: z.enum(['starting', 'ready', 'ejected', 'draining']),
        device: z.string().optional().describe('Where it computes, such as cpu or cuda:0, once it is known.'),
        notes: z
          .array(z.string())
          .optional()
          .describe('What its engine has to say, above all why it computes elsewhere than where it was wanted.'),
      }),
    ),
  })
  .openapi('RevisionStatus');

const revisionSchema = z
  .object({
    number: z.number().int(),
    modelVersion: z.number().int(),
    createdAt: time,
    reason: z.string(),
    scaling: scalingSchema,
    runtime: runtimeSchema,
    placement: placementSchema,
    status: statusSchema.optional().describe('As this gateway sees it; absent when it runs nothing of the revision.'),
    stats1m: statsSchema.describe('The last 60 seconds.'),
  })
  .openapi('Revision');

/** An endpoint as lists show it. */
export const endpointSummarySchema = z
  .object({
    id: z.string().describe('What the names of its objects on a cluster end with, in part.'),
    name: z.string(),
    model: z.string(),
    access: endpointSpecSchema.shape.access,
    scaling: scalingSchema,
    routing: endpointSpecSchema.shape.routing,
    policy: endpointSpecSchema.shape.policy,
    runtime: runtimeSchema,
    placement: placementSchema,
    payloadLog: payloadLogSchema.nullable().describe('Null where nothing is recorded.'),
    responseCache: responseCacheSchema,
    suspended: z.boolean().describe('Unloaded by hand: it answers nothing until it is loaded again.'),
    traffic: z.array(targetSchema),
    generation: z.number().int().describe('Counts the changes of traffic.'),
    createdAt: time,
  })
  .openapi('EndpointSummary');

/** An endpoint with everything. */
export const endpointSchema = endpointSummarySchema
  .extend({
    revisions: z.array(revisionSchema).describe('Newest first.'),
    rollout: z.string().nullable().describe('Id of the rollout in flight.'),
  })
  .openapi('Endpoint');

/** An endpoint's row as lists show it. */
export function endpointSummaryView(row: Selectable<Schema['endpoints']>) {
  return {
    id: row.id,
    name: row.name,
    model: row.model,
    access: row.access,
    scaling: row.scaling,
    routing: row.routing,
    policy: row.policy,
    runtime: { ...DEFAULT_RUNTIME, ...row.runtime },
    placement: { ...DEFAULT_PLACEMENT, ...row.placement },
    payloadLog: row.payload_log,
    responseCache: { ...DEFAULT_RESPONSE_CACHE, ...row.response_cache },
    suspended: row.suspended,
    traffic: row.traffic,
    generation: row.generation,
    createdAt: row.created_at.toISOString(),
  };
}

/** A revision's row with what is known of it now. */
export function revisionView(
  row: Selectable<Schema['revisions']>,
  status: RevisionStatus | undefined,
  stats: ArmStats | undefined,
) {
  return {
    number: row.number,
    modelVersion: row.model_version,
    createdAt: row.created_at.toISOString(),
    reason: row.reason,
    scaling: row.scaling,
    runtime: { ...DEFAULT_RUNTIME, ...row.runtime },
    placement: { ...DEFAULT_PLACEMENT, ...row.placement },
    ...(status ? { status: statusView(status) } : {}),
    stats1m: statsView(stats ?? NO_STATS),
  };
}

/** Counts as numbers that people read. */
export function statsView(stats: ArmStats): z.infer<typeof statsSchema> {
  const ms = (q: number) => {
    const value = quantile(stats, q);
    return Number.isFinite(value) ? Number(value.toFixed(3)) : null;
  };
  return { requests: stats.requests, errors: stats.errors, p50Ms: ms(0.5), p95Ms: ms(0.95), p99Ms: ms(0.99) };
}

function statusView(status: RevisionStatus): z.infer<typeof statusSchema> {
  const { ready, starting, busy, waiting, message, failing } = status;
  const replicas = status.replicas.map(({ id, pid, state, device, notes }) => ({
    ...{ id, pid, state },
    ...(device === undefined ? {} : { device }),
    ...(notes === undefined || notes.length === 0 ? {} : { notes: [...notes] }),
  }));
  return { ready, starting, busy, waiting, message, failing, replicas };
}
