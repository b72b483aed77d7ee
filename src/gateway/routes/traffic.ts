/** An endpoint's traffic: what is in force, what was, and changes by hand. */
import { createRoute, z } from '@hono/zod-openapi';
import { trafficSchema } from '../../core/endpoints/endpoint.js';
import { changeTraffic } from '../../core/endpoints/serve.js';
import { getEndpoint, trafficAt, trafficHistory } from '../../core/endpoints/store.js';
import { AppError } from '../../errors.js';
import { targetSchema } from '../endpoint-view.js';
import { answer, jsonRequest, named, newRouter, READ_ERRORS, time, WRITE_ERRORS } from '../openapi.js';
import type { Services } from '../services.js';
import { settled } from '../settled.js';

const tags = ['Traffic'];
const params = z.object({ endpoint: named('Name of the endpoint.') });

const settingSchema = z
  .object({
    generation: z.number().int(),
    targets: z.array(targetSchema),
    actor: z.string().describe('Who set it.'),
    reason: z.string(),
    at: time.describe('When it came into force.'),
  })
  .openapi('TrafficSetting');

const nowSchema = z
  .object({
    generation: z.number().int(),
    targets: z.array(targetSchema),
    history: z.array(settingSchema).describe('Newest first; at most 200.'),
  })
  .openapi('Traffic');

const get = createRoute({
  method: 'get',
  path: '/endpoints/{endpoint}/traffic',
  operationId: 'getTraffic',
  summary: 'Traffic now and its history, or what was in force at a moment and why',
  tags,
  request: {
    params,
    query: z.object({ at: z.iso.datetime({ offset: true }).optional().describe('A moment in ISO 8601.') }),
  },
  responses: {
    200: answer(z.union([nowSchema, settingSchema]), 'The traffic; one setting when `at` is given.'),
    ...READ_ERRORS,
  },
});

const put = createRoute({
  method: 'put',
  path: '/endpoints/{endpoint}/traffic',
  operationId: 'setTraffic',
  summary: 'Set the traffic whole, by compare-and-set when a generation is named',
  description: 'Refused while a rollout is in flight.',
  tags,
  request: {
    params,
    body: jsonRequest(
      z
        .object({
          targets: trafficSchema.min(1, 'must name at least one revision'),
          generation: z.number().int().min(0).optional().describe('The generation that the change was decided on.'),
          reason: z.string().max(1000).default(''),
        })
        .strict()
        .openapi('NewTraffic'),
    ),
  },
  responses: { 200: answer(z.object({ generation: z.number().int() }), 'The new generation.'), ...WRITE_ERRORS },
});

/** Routes of traffic. */
export function trafficRoutes(services: Services) {
  const { db } = services;
  const app = newRouter();

  app.openapi(get, async (c) => {
    const endpoint = await getEndpoint(db, c.get('caller').project, c.req.valid('param').endpoint);
    const { at } = c.req.valid('query');
    if (at === undefined) {
      const history = await trafficHistory(db, endpoint.id);
      return c.json(
        { generation: endpoint.generation, targets: endpoint.traffic, history: history.map(settingView) },
        200,
      );
    }
    const row = await trafficAt(db, endpoint.id, new Date(at));
    if (!row)
      throw new AppError('not_found', `endpoint "${endpoint.name}" had no traffic at ${at}`, { details: { at } });
    return c.json(settingView(row), 200);
  });

  app.openapi(put, async (c) => {
    const { project, actor } = c.get('caller');
    const { targets, generation, reason } = c.req.valid('json');
    const { endpoint } = c.req.valid('param');
    const now = await changeTraffic(db, project, endpoint, { targets, generation, reason, actor });
    await settled(services, project, endpoint);
    return c.json({ generation: now }, 200);
  });

  return app;
}

function settingView(row: Awaited<ReturnType<typeof trafficHistory>>[number]) {
  return {
    generation: row.generation,
    targets: row.traffic,
    actor: row.actor,
    reason: row.reason,
    at: row.at.toISOString(),
  };
}
