/** What an endpoint's shadows answered, beside what its real requests were answered. */
import { createRoute, z } from '@hono/zod-openapi';
import type { TrafficTarget } from '../../core/endpoints/endpoint.js';
import { getEndpoint, trafficAt } from '../../core/endpoints/store.js';
import { readObservations } from '../../core/inference/observations.js';
import { NOTHING_OBSERVED } from '../../core/inference/observed.js';
import {
  type EndpointShadows,
  SHADOW_DISAGREEMENT,
  SHADOW_DROPPED,
  SHADOW_ERROR,
} from '../../core/inference/shadow/record.js';
import { answer, named, newRouter, READ_ERRORS, time } from '../openapi.js';
import type { Services } from '../services.js';

const exampleSchema = z.object({
  at: time,
  requestId: z.string(),
  realRevision: z.number().int().describe('Who gave the real answer.'),
  output: z.string().describe('Empty where it is not one output that differs.'),
  what: z.enum(['status', 'unreadable', 'missing', 'datatype', 'shape', 'value']),
  index: z.number().int().optional().describe('Of the first element that differs too much, row-major.'),
  real: z.string(),
  shadow: z.string(),
});

const revisionSchema = z
  .object({
    revision: z.number().int(),
    shadowPercent: z.number(),
    copies: z.number().int().describe('That were answered, or failed; all gateways.'),
    compared: z.number().int().describe('All gateways.'),
    disagreed: z.number().int().describe('All gateways.'),
    failed: z.number().int().describe('Answered with 5xx, or not at all; all gateways.'),
    dropped: z.number().int().describe('Not made, or not compared; all gateways. The metrics say why.'),
    largestDifference: z.number().describe('Of two numbers, since the process that answers this began; of it alone.'),
    lastFailure: z.string().nullable().describe('Of the process that answers this alone.'),
    examples: z.array(exampleSchema).describe('Newest first; of the process that answers this alone.'),
  })
  .openapi('ShadowRevision');

const get = createRoute({
  method: 'get',
  path: '/endpoints/{endpoint}/shadow',
  operationId: 'getShadow',
  summary: 'What shadow revisions answered, compared with the real answers',
  description:
    'Counts are of all gateways, a second or two late. Examples are kept in memory: the last 20 of the endpoint, by each gateway process for itself.',
  tags: ['Traffic'],
  request: {
    params: z.object({ endpoint: named('Name of the endpoint.') }),
    query: z.object({
      since: z.iso
        .datetime({ offset: true })
        .optional()
        .describe('Count from this moment on, in ISO 8601; since the present traffic is in force when absent.'),
    }),
  },
  responses: {
    200: answer(
      z
        .object({ since: time.nullable().describe('Null without traffic.'), shadows: z.array(revisionSchema) })
        .openapi('Shadow'),
      'The shadows.',
    ),
    ...READ_ERRORS,
  },
});

/** Routes of shadows. */
export function shadowRoutes(services: Services) {
  const { db, clock, shadows } = services;
  const app = newRouter();

  app.openapi(get, async (c) => {
    const endpoint = await getEndpoint(db, c.get('caller').project, c.req.valid('param').endpoint);
    const { since: asked } = c.req.valid('query');
    const since = asked === undefined ? (await trafficAt(db, endpoint.id, new Date(clock.now())))?.at : new Date(asked);
    if (!since) return c.json({ since: null, shadows: [] }, 200);
    const known = shadows.known(endpoint.id);
    const targets = endpoint.traffic.filter(({ shadowPercent = 0 }) => shadowPercent > 0);
    const views = targets.map((target) => revisionView(services, endpoint.id, target, since, known));
    return c.json({ since: since.toISOString(), shadows: await Promise.all(views) }, 200);
  });

  return app;
}

async function revisionView(
  { db }: Services,
  endpointId: string,
  { revision, shadowPercent = 0 }: TrafficTarget,
  since: Date,
  known: EndpointShadows | undefined,
) {
  // what is observed is summed by second
  const from = new Date(Math.floor(since.getTime() / 1000) * 1000);
  const observed = await readObservations(db, endpointId, revision, from);
  const of = (metric: string) => observed.get(metric) ?? NOTHING_OBSERVED;
  const own = known?.known(revision);
  const examples = known?.examples.filter(({ shadowRevision }) => shadowRevision === revision) ?? [];
  return {
    revision,
    shadowPercent,
    copies: of(SHADOW_ERROR).count,
    compared: of(SHADOW_DISAGREEMENT).count,
    disagreed: of(SHADOW_DISAGREEMENT).sum,
    failed: of(SHADOW_ERROR).sum,
    dropped: of(SHADOW_DROPPED).count,
    largestDifference: own?.largest ?? 0,
    lastFailure: own?.lastFailure ?? null,
    examples: examples.reverse().map(({ shadowRevision: _, at, ...example }) => ({ at: at.toISOString(), ...example })),
  };
}
