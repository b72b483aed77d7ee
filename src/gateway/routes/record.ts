/** The record: what served at a moment and why, and model cards. */
import { createRoute, z } from '@hono/zod-openapi';
import { getEndpoint } from '../../core/endpoints/store.js';
import { readCard } from '../../core/models/card.js';
import { printCard } from '../../core/models/card-markdown.js';
import { servedAt } from '../../core/promotions/served.js';
import { AppError } from '../../errors.js';
import { answer, named, newRouter, ordinal, READ_ERRORS, time } from '../openapi.js';
import { gateResultSchema, promotionStateSchema, triggerSchema, voteSchema } from '../promotion-view.js';
import type { Services } from '../services.js';

const tensor = z.object({ name: z.string(), datatype: z.string(), shape: z.array(z.number().int()) });
const lineage = z.record(z.string(), z.unknown()).describe('Where the version came from.');
const decided = z.object({
  id: z.string(),
  trigger: triggerSchema,
  requestedBy: z.string().nullable(),
  state: promotionStateSchema,
  reason: z.string(),
  champion: z.number().int().nullable().describe('The version that the gates were judged against.'),
  gates: z.array(gateResultSchema),
  approvals: z.array(voteSchema),
});
const happened = z.object({ kind: z.string(), message: z.string(), at: z.string() });

const servedSchema = z
  .object({
    endpoint: z.string(),
    model: z.string(),
    at: time,
    generation: z.number().int(),
    since: time,
    until: time.nullable().describe('Null: it still is so.'),
    actor: z.string().describe('Who set the traffic.'),
    reason: z.string(),
    targets: z.array(
      z.object({
        revision: z.number().int(),
        percent: z.number(),
        tag: z.string().nullable(),
        version: z.number().int(),
        artifact: z.string().describe('Digest of what was loaded.'),
        lineage,
        madeAt: z.string(),
        madeFor: z.string().describe('Why the revision was made.'),
        job: z.object({ id: z.string(), name: z.string(), endedAt: z.string().nullable() }).nullable(),
        promotion: decided.nullable().describe('The one that the revision was made by, with its evidence.'),
        rollout: z
          .object({
            id: z.string(),
            stable: z.number().int(),
            state: z.string().describe('As it is now.'),
            last: happened.nullable().describe('The last verdict at that moment.'),
          })
          .nullable(),
      }),
    ),
  })
  .openapi('Served');

const cardSchema = z
  .object({
    model: z.string(),
    description: z.string(),
    version: z.number().int(),
    registeredAt: time,
    framework: z.string(),
    artifact: z.object({
      digest: z.string(),
      bytes: z.number(),
      files: z.array(z.object({ path: z.string(), digest: z.string(), bytes: z.number() })),
    }),
    signature: z.object({ inputs: z.array(tensor), outputs: z.array(tensor) }),
    metrics: z.record(z.string(), z.number()),
    lineage,
    datasets: z.array(z.object({ digest: z.string(), name: z.string().nullable(), use: z.string() })),
    aliases: z.array(z.string()),
    job: z
      .object({
        id: z.string(),
        name: z.string(),
        attempt: z.number().int(),
        code: z.string().describe('Digest of its code.'),
        entrypoint: z.string(),
        params: z.record(z.string(), z.unknown()),
        requirements: z.array(z.string()),
        image: z.string().nullable(),
        resources: z.record(z.string(), z.unknown()),
        environment: z.array(z.string()).describe('Names of its variables; never what they are set to.'),
        startedAt: z.string().nullable(),
        endedAt: z.string().nullable(),
      })
      .nullable(),
    promotions: z.array(
      decided.extend({
        endpoint: z.string(),
        createdAt: z.string(),
        endedAt: z.string().nullable(),
        rollout: z
          .object({
            id: z.string(),
            candidate: z.number().int(),
            stable: z.number().int(),
            state: z.string(),
            reason: z.string(),
            events: z.array(happened),
          })
          .nullable(),
      }),
    ),
    served: z.array(
      z.object({
        endpoint: z.string(),
        revision: z.number().int(),
        from: z.string(),
        until: z.string().nullable().describe('Null: it still has traffic.'),
        percent: z.number().describe('The most it had, in percent.'),
      }),
    ),
  })
  .openapi('ModelCard');

const served = createRoute({
  method: 'get',
  path: '/endpoints/{endpoint}/served',
  operationId: 'getServed',
  summary: 'What served at a moment, and why: down to the job, the gates, the approvals and the last verdict',
  tags: ['Traffic'],
  request: {
    params: z.object({ endpoint: named('Name of the endpoint.') }),
    query: z.object({ at: z.iso.datetime({ offset: true }).optional().describe('In ISO 8601; now when absent.') }),
  },
  responses: { 200: answer(servedSchema, 'What served.'), ...READ_ERRORS },
});

const card = createRoute({
  method: 'get',
  path: '/models/{model}/versions/{version}/card',
  operationId: 'getModelCard',
  summary: 'The card of a version, made from the record',
  description: 'As Markdown with `Accept: text/markdown`.',
  tags: ['Models'],
  request: { params: z.object({ model: named('Name of the model.'), version: ordinal }) },
  responses: {
    200: {
      description: 'The card.',
      content: { 'application/json': { schema: cardSchema }, 'text/markdown': { schema: z.string() } },
    },
    ...READ_ERRORS,
  },
});

/** Routes of the record. */
export function recordRoutes({ db, clock }: Services) {
  const app = newRouter();

  app.openapi(served, async (c) => {
    const endpoint = await getEndpoint(db, c.get('caller').project, c.req.valid('param').endpoint);
    const at = new Date(c.req.valid('query').at ?? clock.now());
    const found = await servedAt(db, endpoint.id, at);
    if (!found) {
      throw new AppError('not_found', `endpoint "${endpoint.name}" had no traffic at ${at.toISOString()}`, {
        details: { at: at.toISOString() },
      });
    }
    const { traffic: _traffic, since, until, ...rest } = found;
    const body = {
      endpoint: endpoint.name,
      at: at.toISOString(),
      since: since.toISOString(),
      until: until?.toISOString() ?? null,
      ...rest,
    };
    // validated on its way out in tests; the types of the record are readonly, those of schemas are not
    return c.json(body as unknown as z.infer<typeof servedSchema>, 200);
  });

  app.openapi(card, async (c) => {
    const { model, version } = c.req.valid('param');
    const read = await readCard(db, c.get('caller').project, model, version);
    if ((c.req.header('accept') ?? '').includes('text/markdown'))
      return c.text(printCard(read), 200, { 'content-type': 'text/markdown; charset=utf-8' });
    return c.json(read as unknown as z.infer<typeof cardSchema>, 200);
  });

  return app;
}
