/** How the API shows promotions. */
import { z } from '@hono/zod-openapi';
import type { Selectable } from 'kysely';
import { PROMOTION_STATES } from '../core/promotions/promotion.js';
import type { PromotionRow } from '../core/promotions/store.js';
import type { Schema } from '../core/schema.js';
import { time } from './openapi.js';

export const promotionStateSchema = z.enum(PROMOTION_STATES);

export const triggerSchema = z
  .object({
    on: z.enum(['request', 'job_succeeded', 'alias_moved', 'hook', 'schedule']),
    job: z.string().optional(),
    alias: z.string().optional(),
    hook: z.string().optional().describe('Id of the hook.'),
    name: z.string().optional().describe('Name of the hook.'),
    cron: z.string().optional(),
    occurrence: z.string().optional().describe('When the schedule was due.'),
  })
  .describe('What opened it.');

export const gateResultSchema = z.object({
  gate: z.string(),
  passed: z.boolean(),
  reason: z.string().describe('With the numbers that decided.'),
  evidence: z.record(z.string(), z.unknown()),
  at: z.string(),
});

export const voteSchema = z.object({
  round: z.number().int().describe("The promotion's round that it was given in."),
  actor: z.string(),
  vote: z.enum(['approve', 'reject']),
  comment: z.string(),
  at: time,
});

export const promotionSummarySchema = z
  .object({
    id: z.string(),
    endpoint: z.string(),
    model: z.string(),
    version: z.number().int(),
    jobId: z.string().nullable().describe('The job that asked for it; null where none did.'),
    trigger: triggerSchema,
    requestedBy: z.string().nullable().describe('The person who asked for it; null where none did.'),
    state: promotionStateSchema,
    gates: z.array(gateResultSchema),
    reason: z.string(),
    champion: z
      .number()
      .int()
      .nullable()
      .describe(
        'The version that its gates were judged against; null before they have passed, or where none was served.',
      ),
    round: z.number().int().describe('How often its gates began anew because another version was served meanwhile.'),
    approval: z
      .object({ kind: z.enum(['automatic', 'one', 'two']), by: z.array(z.string()).optional() })
      .nullable()
      .describe('Who has to approve; null before the gates have passed, or where nobody has to.'),
    expiresAt: time.nullable().describe('Until when it may be approved.'),
    revision: z.number().int().nullable().describe('The revision that it became.'),
    rolloutId: z.string().nullable(),
    createdAt: time,
    endedAt: time.nullable(),
  })
  .openapi('PromotionSummary');

export const promotionSchema = promotionSummarySchema
  .extend({ approvals: z.array(voteSchema).describe('What people said, oldest first.') })
  .openapi('Promotion');

export function promotionSummaryView(row: PromotionRow): z.infer<typeof promotionSummarySchema> {
  return {
    id: row.id,
    endpoint: row.endpoint,
    model: row.model,
    version: row.version,
    jobId: row.job_id,
    trigger: row.trigger,
    requestedBy: row.requested_by,
    state: row.state,
    gates: row.gates.map(({ gate, passed, reason, evidence, at }) => ({ gate, passed, reason, evidence, at })),
    reason: row.reason,
    champion: row.champion,
    round: row.round,
    approval: row.approval && { kind: row.approval.kind, ...(row.approval.by ? { by: row.approval.by } : {}) },
    expiresAt: row.expires_at?.toISOString() ?? null,
    revision: row.revision,
    rolloutId: row.rollout_id,
    createdAt: row.created_at.toISOString(),
    endedAt: row.ended_at?.toISOString() ?? null,
  };
}

export function voteView(row: Selectable<Schema['promotion_approvals']>): z.infer<typeof voteSchema> {
  return { round: row.round, actor: row.actor, vote: row.verdict, comment: row.comment, at: row.at.toISOString() };
}
