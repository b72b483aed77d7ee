/** Promotions: model versions on their way through an endpoint's gates, and what people say to them. */
import { createRoute, z } from '@hono/zod-openapi';
import { approvalsOf, voteOnPromotion } from '../../core/promotions/approve.js';
import { enqueueNext } from '../../core/promotions/decide.js';
import { requestPromotion } from '../../core/promotions/open.js';
import { getPromotion, listPromotions } from '../../core/promotions/store.js';
import { enqueueOrLog } from '../enqueue.js';
import { answer, jsonRequest, limit, named, newRouter, READ_ERRORS, WRITE_ERRORS } from '../openapi.js';
import {
  promotionSchema,
  promotionStateSchema,
  promotionSummarySchema,
  promotionSummaryView,
  voteView,
} from '../promotion-view.js';
import type { Services } from '../services.js';

const tags = ['Promotions'];
const params = z.object({ promotion: named('Id of the promotion.') });

const request = createRoute({
  method: 'post',
  path: '/endpoints/{endpoint}/promotions',
  operationId: 'requestPromotion',
  summary: "Take a version through the endpoint's gates and rollout",
  description: 'The promotion of this version that is under way is answered when there is one.',
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
    query: z.object({
      endpoint: z.string().optional(),
      job: z.string().optional(),
      state: promotionStateSchema.optional(),
      limit: limit(1000, 100),
    }),
  },
  responses: { 200: answer(z.object({ promotions: z.array(promotionSummarySchema) }), 'Promotions.'), ...READ_ERRORS },
});

const get = createRoute({
  method: 'get',
  path: '/promotions/{promotion}',
  operationId: 'getPromotion',
  summary: 'A promotion with its gates and approvals',
  tags,
  request: { params },
  responses: { 200: answer(promotionSchema, 'The promotion.'), ...READ_ERRORS },
});

const VOTES = {
  approve: 'Approve a promotion whose gates have passed; with the last approval that is needed it goes live',
  reject: 'Reject a promotion whose gates have passed',
} as const;

/** Routes of promotions. */
export function promotionRoutes(services: Services) {
  const app = newRouter();
  const { db } = services;

  app.openapi(request, async (c) => {
    const { version } = c.req.valid('json');
    const { project, actor } = c.get('caller');
    const { endpoint } = c.req.valid('param');
    const { id } = await requestPromotion(db, { project, endpoint, version, actor });
    await enqueueOrLog(services, 'promotion.decide', { promotionId: id }, id);
    return c.json({ promotion: id }, 202);
  });

  app.openapi(list, async (c) => {
    const rows = await listPromotions(db, c.get('caller').project, c.req.valid('query'));
    return c.json({ promotions: rows.map(promotionSummaryView) }, 200);
  });

  app.openapi(get, async (c) => {
    const row = await getPromotion(db, c.get('caller').project, c.req.valid('param').promotion);
    const approvals = await approvalsOf(db, row.id);
    return c.json({ ...promotionSummaryView(row), approvals: approvals.map(voteView) }, 200);
  });

  for (const [vote, summary] of Object.entries(VOTES) as [keyof typeof VOTES, string][]) {
    const route = createRoute({
      method: 'post',
      path: `/promotions/{promotion}/${vote}`,
      operationId: `${vote}Promotion`,
      summary,
      description:
        'Who may is in the policy of the endpoint. Where another version is served by now than the gates were judged ' +
        'against, they begin anew with the last approval (`pending`), and so do the approvals.',
      tags,
      request: {
        params,
        body: jsonRequest(
          z
            .object({ comment: z.string().max(10_000).default('').describe('For the record.') })
            .strict()
            .openapi('Vote'),
        ),
      },
      responses: { 200: answer(z.object({ state: promotionStateSchema }), 'Its state now.'), ...WRITE_ERRORS },
    });
    app.openapi(route, async (c) => {
      const { project, actor } = c.get('caller');
      const { promotion } = c.req.valid('param');
      const { comment } = c.req.valid('json');
      const passed = await voteOnPromotion(db, { project, promotion, actor, vote, comment });
      await enqueueNext((name, data, { id }) => enqueueOrLog(services, name, data, id), promotion, passed);
      return c.json({ state: passed.state }, 200);
    });
  }

  return app;
}
