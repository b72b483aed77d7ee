/** Promotions: model versions on their way through an endpoint's gates. */
import { createRoute, z } from '@hono/zod-openapi';
import type { Selectable } from 'kysely';
import type { PromotionState } from '../../core/promotions/promotion.js';
import { getPromotion, listPromotions, requestPromotion } from '../../core/promotions/store.js';
import type { Schema } from '../../core/schema.js';
import { enqueueOrLog } from '../enqueue.js';
import { answer, jsonRequest, limit, named, newRouter, READ_ERRORS, time, WRITE_ERRORS } from '../openapi.js';
import type { Services } from '../services.js';

const tags = ['Promotions'];
const STATES = [
  'pending',
  'gating',
  'rolling',
  'promoted',
  'rejected',
  'rolled_back',
  'aborted',
  'failed',
] as const satisfies readonly PromotionState[];

const promotionSchema = z
  .object({
    id: z.string(),
    endpoint: z.string(),
    model: z.string(),
    version: z.number().int(),
    jobId: z.string().nullable().describe('The job that asked for it; null when a person did.'),
    state: z.enum(STATES),
    gates: z.array(
      z.object({
        gate: z.string(),
        passed: z.boolean(),
        reason: z.string().describe('With the numbers that decided.'),
        evidence: z.record(z.string(), z.unknown()),
        at: z.string(),
      }),
    ),
    reason: z.string(),
    rolloutId: z.string().nullable(),
    createdAt: time,
    endedAt: time.nullable(),
  })
  .openapi('Promotion');

const request = createRoute({
  method: 'post',
  path: '/endpoints/{endpoint}/promotions',
  operationId: 'requestPromotion',
  summary: "Take a version through the endpoint's gates and rollout",
  description: 'The promotion under way is answered when there is one; one that ended begins anew.',
  tags,
  request: {
    params: z.object({ endpoint: named('Name of the endpoint.') }),
    body: jsonRequest(
      z
        .object({ version: z.number().int().min(1).max(2_147_483_647) })
        .strict()
        .openapi('NewPromotion'),
    ),
  },
  responses: { 202: answer(z.object({ promotion: z.string() }), 'Its id.'), ...WRITE_ERRORS },
});

const list = createRoute({
  method: 'get',
  path: '/promotions',
  operationId: 'listPromotions',
  summary: 'Promotions, newest first',
  tags,
  request: {
    query: z.object({ endpoint: z.string().optional(), job: z.string().optional(), limit: limit(1000, 100) }),
  },
  responses: { 200: answer(z.object({ promotions: z.array(promotionSchema) }), 'Promotions.'), ...READ_ERRORS },
});

const get = createRoute({
  method: 'get',
  path: '/promotions/{promotion}',
  operationId: 'getPromotion',
  summary: 'A promotion with its gates',
  tags,
  request: { params: z.object({ promotion: named('Id of the promotion.') }) },
  responses: { 200: answer(promotionSchema, 'The promotion.'), ...READ_ERRORS },
});

/** Routes of promotions. */
export function promotionRoutes(services: Services) {
  const app = newRouter();
  const { db } = services;

  app.openapi(request, async (c) => {
    const { version } = c.req.valid('json');
    const { id } = await requestPromotion(db, c.get('caller').project, c.req.valid('param').endpoint, version);
    await enqueueOrLog(services, 'promotion.decide', { promotionId: id }, id);
    return c.json({ promotion: id }, 202);
  });

  app.openapi(list, async (c) => {
    const rows = await listPromotions(db, c.get('caller').project, c.req.valid('query'));
    return c.json({ promotions: rows.map(promotionView) }, 200);
  });

  app.openapi(get, async (c) => {
    return c.json(promotionView(await getPromotion(db, c.get('caller').project, c.req.valid('param').promotion)), 200);
  });

  return app;
}

function promotionView(row: Selectable<Schema['promotions']>): z.infer<typeof promotionSchema> {
  return {
    id: row.id,
    endpoint: row.endpoint,
    model: row.model,
    version: row.version,
    jobId: row.job_id,
    state: row.state,
    gates: row.gates.map(({ gate, passed, reason, evidence, at }) => ({ gate, passed, reason, evidence, at })),
    reason: row.reason,
    rolloutId: row.rollout_id,
    createdAt: row.created_at.toISOString(),
    endedAt: row.ended_at?.toISOString() ?? null,
  };
}
