/** Asynchronous predictions: their answers, for whoever may use the endpoint, and the list of them for administrators. */
import { Readable } from 'node:stream';
import type { ReadableStream as NodeStream } from 'node:stream/web';
import { createRoute, z } from '@hono/zod-openapi';
import type { Context } from 'hono';
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import { codeOf, type PredictionRow } from '../../core/predictions/ends.js';
import { summaryOf } from '../../core/predictions/spec.js';
import { cancelPrediction, getPrediction, listPredictions } from '../../core/predictions/store.js';
import type { WorkState } from '../../core/work-state.js';
import { AppError } from '../../errors.js';
import { callerOf } from '../data-plane/access.js';
import { enqueueOrLog } from '../enqueue.js';
import type { GatewayEnv } from '../env.js';
import { wantsStream } from '../middlewares.js';
import { onV2Error } from '../on-error.js';
import { answer, binary, limit, named, newRouter, READ_ERRORS, workStateSchema } from '../openapi.js';
import { predictionSchema, predictionSummarySchema, predictionView } from '../prediction-view.js';
import type { Services } from '../services.js';
import { followEvents } from '../sse.js';

const tags = ['Predictions'];
const params = z.object({ prediction: named('Id of the prediction.') });
/** When to look again at what has no answer yet, in seconds. */
const RETRY_AFTER_SEC = 1;

const failed = {
  description: 'What is wrong.',
  content: { 'application/json': { schema: z.object({ error: z.string() }) } },
};

const get = createRoute({
  method: 'get',
  path: '/v2/predictions/{prediction}',
  operationId: 'getPrediction',
  summary: 'The answer of an asynchronous prediction; its states live with Accept: text/event-stream',
  description:
    'Once it has ended: status, content headers and body as a prediction that waited would have had them. Before: 202. ' +
    'As a stream: event `state` for each change; it ends with the last one.',
  tags,
  request: { params },
  responses: {
    200: {
      description: 'The answer. It may be of any other status as well, as the model server gave it.',
      content: {
        'application/json': { schema: z.unknown() },
        'application/octet-stream': { schema: binary },
        'text/event-stream': { schema: z.custom<never>().openapi({ type: 'string' }) },
      },
    },
    202: answer(predictionSummarySchema, 'It has not ended; Retry-After says when to look again.'),
    default: failed,
  },
});

const cancel = createRoute({
  method: 'delete',
  path: '/v2/predictions/{prediction}',
  operationId: 'cancelPrediction',
  summary: 'Stop an asynchronous prediction; one that ended stays as it is',
  tags,
  request: { params },
  responses: { 200: answer(predictionSummarySchema, 'Its state now.'), default: failed },
});

const list = createRoute({
  method: 'get',
  path: '/predictions',
  operationId: 'listPredictions',
  summary: 'Asynchronous predictions, newest first',
  tags,
  request: {
    query: z.object({
      endpoint: z.string().optional(),
      state: workStateSchema.optional(),
      limit: limit(1000, 100),
    }),
  },
  responses: { 200: answer(z.object({ predictions: z.array(predictionSchema) }), 'Predictions.'), ...READ_ERRORS },
});

/** Routes of the answers: beside the Open Inference Protocol's own, and with its form of errors. */
export function predictionRoutes(services: Services) {
  const app = newRouter();
  app.onError(onV2Error(services.log));

  app.openapi(get, async (c) => {
    const row = await visible(c, services, c.req.valid('param').prediction);
    if (wantsStream(c)) return follow(c, services, row);
    if (row.ended_at === null) {
      c.header('Retry-After', String(RETRY_AFTER_SEC));
      return c.json(summaryOf(row), 202);
    }
    if (row.status === null) throw new AppError(codeOf(row), row.reason);
    return sendAnswer(c, services, row);
  });

  app.openapi(cancel, async (c) => {
    const { id, project } = await visible(c, services, c.req.valid('param').prediction);
    const { state, deliveries } = await cancelPrediction(services.db, project, id);
    for (const deliveryId of deliveries) await enqueueOrLog(services, 'webhook.send', { deliveryId }, deliveryId);
    return c.json(summaryOf({ id, state }), 200);
  });

  return app;
}

/** Routes of the list. */
export function predictionListRoutes({ db }: Services) {
  return newRouter().openapi(list, async (c) => {
    const rows = await listPredictions(db, c.get('caller').project, c.req.valid('query'));
    return c.json({ predictions: rows.map(predictionView) }, 200);
  });
}

/** The prediction, for who may use its endpoint. Without a key nobody learns what there is behind one. */
async function visible(c: Context<GatewayEnv>, services: Services, id: string): Promise<PredictionRow> {
  const caller = callerOf(services, {
    authorization: c.req.header('authorization'),
    apiKey: c.req.header('x-api-key'),
  });
  const row = await getPrediction(services.db, caller.project, id).catch((error) => {
    if (caller.role === 'anonymous' && error instanceof AppError) return undefined;
    throw error;
  });
  if (row && (caller.role !== 'anonymous' || row.access === 'public')) return row;
  throw new AppError('unauthenticated', 'a key is needed: send Authorization: Bearer KEY');
}

async function sendAnswer(c: Context<GatewayEnv>, { blobs }: Services, row: PredictionRow): Promise<Response> {
  for (const [name, value] of Object.entries(row.headers ?? {})) c.header(name, value);
  c.header('Content-Length', String(row.result_bytes ?? 0));
  const status = (row.status ?? 200) as ContentfulStatusCode;
  // an opened file would never be read, so never closed
  if (c.req.method === 'HEAD') return c.body(null, status);
  const bytes: NodeStream = Readable.toWeb(await blobs.open(row.result_digest ?? ''));
  // the same class under two names: node's own and the global one
  return c.body(bytes as ReadableStream, status);
}

function follow(c: Context<GatewayEnv>, services: Services, { id, project }: PredictionRow): Response {
  let told: WorkState | undefined;
  return followEvents(c, services, {
    topics: [`predictions/${id}`],
    async look(send) {
      const row = await getPrediction(services.db, project, id);
      if (row.state !== told) await send({ event: 'state', data: JSON.stringify(summaryOf(row)) });
      told = row.state;
      return row.ended_at === null ? 'wait' : 'end';
    },
  });
}
