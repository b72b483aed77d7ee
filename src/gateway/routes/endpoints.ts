/** Endpoints and their revisions. */
import { createRoute, z } from '@hono/zod-openapi';
import { endpointSpecSchema, type PromotionPolicy, scalingSchema } from '../../core/endpoints/endpoint.js';
import { runtimeSchema } from '../../core/endpoints/runtime.js';
import { addRevision, createServingEndpoint, putEndpoint } from '../../core/endpoints/serve.js';
import {
  createEndpoint,
  deleteEndpoint,
  getEndpoint,
  listEndpoints,
  listRevisions,
} from '../../core/endpoints/store.js';
import { readEndpointStats } from '../../core/inference/statistics.js';
import { rolloutInFlight } from '../../core/rollouts/store.js';
import { checkWebhookUrl } from '../../core/webhooks/address.js';
import { AppError, messageOf } from '../../errors.js';
import { endpointSchema, endpointSummarySchema, endpointSummaryView, revisionView } from '../endpoint-view.js';
import { answer, jsonRequest, named, newRouter, READ_ERRORS, WRITE_ERRORS } from '../openapi.js';
import type { Services } from '../services.js';
import { settled } from '../settled.js';

const tags = ['Endpoints'];
const params = z.object({ endpoint: named('Name of the endpoint.') });
const STATS_WINDOW_MS = 60_000;

const modelVersion = z.number().int().min(1).max(2_147_483_647);
const newEndpointSchema = endpointSpecSchema
  .extend({ version: modelVersion.optional().describe('Serve this version of the model with all traffic at once.') })
  .openapi('NewEndpoint');
const newRevisionSchema = z
  .object({
    version: modelVersion.describe('The version of the model.'),
    scaling: scalingSchema.optional().describe("The endpoint's scaling when absent."),
    runtime: runtimeSchema.optional().describe("The endpoint's runtime settings when absent."),
    reason: z.string().max(1000).default(''),
  })
  .strict()
  .openapi('NewRevision');

const list = createRoute({
  method: 'get',
  path: '/endpoints',
  operationId: 'listEndpoints',
  summary: 'Endpoints by name',
  tags,
  responses: { 200: answer(z.object({ endpoints: z.array(endpointSummarySchema) }), 'All endpoints.'), ...READ_ERRORS },
});

const create = createRoute({
  method: 'post',
  path: '/endpoints',
  operationId: 'createEndpoint',
  summary: 'Create an endpoint, serving a version at once if one is named',
  tags,
  request: { body: jsonRequest(newEndpointSchema) },
  responses: { 201: answer(endpointSchema, 'It was created.'), ...WRITE_ERRORS },
});

const put = createRoute({
  method: 'put',
  path: '/endpoints/{endpoint}',
  operationId: 'putEndpoint',
  summary: 'Create an endpoint or change its settings',
  description: 'The model cannot change. Revisions keep the scaling and the runtime settings that they were made with.',
  tags,
  request: { params, body: jsonRequest(endpointSpecSchema.partial({ name: true }).openapi('EndpointSpec')) },
  responses: {
    200: answer(endpointSchema, 'It was changed.'),
    201: answer(endpointSchema, 'It was created.'),
    ...WRITE_ERRORS,
  },
});

const get = createRoute({
  method: 'get',
  path: '/endpoints/{endpoint}',
  operationId: 'getEndpoint',
  summary: 'An endpoint with its revisions, their state and their last minute',
  tags,
  request: { params },
  responses: { 200: answer(endpointSchema, 'The endpoint.'), ...READ_ERRORS },
});

const remove = createRoute({
  method: 'delete',
  path: '/endpoints/{endpoint}',
  operationId: 'deleteEndpoint',
  summary: 'Delete an endpoint; its rollout in flight is aborted, its history stays',
  tags,
  request: { params },
  responses: { 204: { description: 'It is gone.' }, ...WRITE_ERRORS },
});

const revise = createRoute({
  method: 'post',
  path: '/endpoints/{endpoint}/revisions',
  operationId: 'createRevision',
  summary: 'Add a revision, without traffic',
  tags,
  request: { params, body: jsonRequest(newRevisionSchema) },
  responses: { 201: answer(z.object({ revision: z.number().int() }), 'Its number.'), ...WRITE_ERRORS },
});

/** Routes of endpoints and revisions. */
export function endpointRoutes(services: Services) {
  const app = newRouter();
  const { db } = services;

  app.openapi(list, async (c) => {
    const rows = await listEndpoints(db, c.get('caller').project);
    return c.json({ endpoints: rows.map(endpointSummaryView) }, 200);
  });

  app.openapi(create, async (c) => {
    const { version, ...spec } = c.req.valid('json');
    const { project, actor } = c.get('caller');
    checkGateUrls(services, spec.policy);
    if (version === undefined) await createEndpoint(db, project, spec);
    else await createServingEndpoint(db, project, spec, version, actor);
    return c.json(await endpointView(services, project, spec.name), 201);
  });

  app.openapi(put, async (c) => {
    const { endpoint } = c.req.valid('param');
    const { project } = c.get('caller');
    const spec = c.req.valid('json');
    if (spec.name !== undefined && spec.name !== endpoint) {
      throw new AppError('invalid', `name: must be "${endpoint}" as in the path (got "${spec.name}")`, {
        details: { field: 'name' },
      });
    }
    const name = endpointSpecSchema.shape.name.safeParse(endpoint);
    if (!name.success)
      throw new AppError('invalid', `name: ${name.error.issues[0]?.message} (got ${JSON.stringify(endpoint)})`);
    checkGateUrls(services, spec.policy);
    const { created } = await putEndpoint(db, project, { ...spec, name: endpoint });
    await settled(services, project, endpoint);
    return c.json(await endpointView(services, project, endpoint), created ? 201 : 200);
  });

  app.openapi(get, async (c) =>
    c.json(await endpointView(services, c.get('caller').project, c.req.valid('param').endpoint), 200),
  );

  app.openapi(remove, async (c) => {
    const { project, actor } = c.get('caller');
    const { endpoint } = c.req.valid('param');
    await deleteEndpoint(db, project, endpoint, actor);
    await settled(services, project, endpoint);
    return c.body(null, 204);
  });

  app.openapi(revise, async (c) => {
    const { project, actor } = c.get('caller');
    const { version, scaling, runtime, reason } = c.req.valid('json');
    const input = { version, scaling, runtime, reason: reason || `made by ${actor}` };
    const { endpoint } = c.req.valid('param');
    const revision = await addRevision(db, project, endpoint, input);
    await settled(services, project, endpoint);
    return c.json({ revision }, 201);
  });

  return app;
}

/** What a gate asks must be an address that webhooks may go to. */
function checkGateUrls({ asynchronous }: Services, { gates }: PromotionPolicy): void {
  for (const [at, gate] of gates.entries()) {
    if (gate.kind !== 'webhook') continue;
    try {
      checkWebhookUrl(gate.url, asynchronous.webhooksToPrivate);
    } catch (error) {
      const field = `policy.gates[${at}].url`;
      throw new AppError('invalid', `${field}: ${messageOf(error)}`, { details: { field, value: gate.url } });
    }
  }
}

async function endpointView({ db, fleet, clock }: Services, project: string, name: string) {
  const endpoint = await getEndpoint(db, project, name);
  const [running, revisions, stats, rollout] = await Promise.all([
    fleet.status(),
    listRevisions(db, endpoint.id),
    readEndpointStats(db, endpoint.id, new Date(clock.now() - STATS_WINDOW_MS)),
    rolloutInFlight(db, endpoint.id),
  ]);
  const statuses = new Map(
    running.flatMap((status) => (status.endpointId === endpoint.id ? [[status.revision, status] as const] : [])),
  );
  return {
    ...endpointSummaryView(endpoint),
    revisions: revisions.map((row) => revisionView(row, statuses.get(row.number), stats.get(row.number))),
    rollout: rollout ?? null,
  };
}
