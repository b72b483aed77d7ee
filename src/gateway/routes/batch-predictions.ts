/** Batch predictions: submit a table, watch, fetch the table of answers. */
import { createRoute, z } from '@hono/zod-openapi';
import { cancelBatch, getBatch, listBatches, rateOf, submitBatch } from '../../core/batch/store.js';
import { attemptQueueId } from '../../core/jobs.js';
import { AppError } from '../../errors.js';
import { batchRequestSchema, batchSchema, batchSummarySchema, batchSummaryView, batchView } from '../batch-view.js';
import { enqueueOrLog } from '../enqueue.js';
import {
  answer,
  binary,
  idempotencyHeaders,
  jsonRequest,
  limit,
  named,
  newRouter,
  READ_ERRORS,
  WRITE_ERRORS,
  workStateSchema,
} from '../openapi.js';
import type { Services } from '../services.js';
import { sendBlob } from '../uploads.js';

const tags = ['Batch predictions'];
const params = z.object({ batch: named('Id of the batch prediction.') });
const submittedSchema = z.object({ id: z.string(), state: workStateSchema }).openapi('SubmittedBatch');

const submit = createRoute({
  method: 'post',
  path: '/batch-predictions',
  operationId: 'submitBatch',
  summary: 'Predict every row of a table',
  description:
    'Once this answers, it is accepted and will reach its end, whatever happens to this process. The result has as many ' +
    'rows as the input, in the same order.',
  tags,
  request: { headers: idempotencyHeaders, body: jsonRequest(batchRequestSchema) },
  responses: {
    200: answer(submittedSchema, 'It was submitted before under this key.'),
    202: answer(submittedSchema, 'It is accepted.'),
    ...WRITE_ERRORS,
  },
});

const list = createRoute({
  method: 'get',
  path: '/batch-predictions',
  operationId: 'listBatches',
  summary: 'Batch predictions, newest first',
  tags,
  request: { query: z.object({ state: workStateSchema.optional(), limit: limit(1000, 100) }) },
  responses: {
    200: answer(z.object({ batches: z.array(batchSummarySchema) }), 'Batch predictions.'),
    ...READ_ERRORS,
  },
});

const get = createRoute({
  method: 'get',
  path: '/batch-predictions/{batch}',
  operationId: 'getBatch',
  summary: 'A batch prediction with its progress',
  tags,
  request: { params },
  responses: { 200: answer(batchSchema, 'The batch prediction.'), ...READ_ERRORS },
});

const cancel = createRoute({
  method: 'post',
  path: '/batch-predictions/{batch}/cancel',
  operationId: 'cancelBatch',
  summary: 'Stop a batch prediction; one that ended stays as it is',
  tags,
  request: { params },
  responses: { 200: answer(z.object({ state: workStateSchema }), 'Its state now.'), ...WRITE_ERRORS },
});

const result = createRoute({
  method: 'get',
  path: '/batch-predictions/{batch}/result',
  operationId: 'getBatchResult',
  summary: 'Download the table of answers',
  tags,
  request: { params },
  responses: {
    200: { description: 'The bytes.', content: { 'application/octet-stream': { schema: binary } } },
    409: WRITE_ERRORS[409],
    ...READ_ERRORS,
  },
});

/** Routes of batch predictions. */
export function batchRoutes(services: Services) {
  const app = newRouter();
  const { db } = services;

  app.openapi(submit, async (c) => {
    const { project } = c.get('caller');
    const key = c.req.valid('header')['idempotency-key'];
    const { id, created } = await submitBatch(db, project, c.req.valid('json'), key);
    const { state, attempt } = await getBatch(db, project, id);
    // also when it was there before: the first submission may have died before it got here
    if (state === 'queued') await enqueueOrLog(services, 'batch.run', { batchId: id }, attemptQueueId(id, attempt));
    return c.json({ id, state }, created ? 202 : 200);
  });

  app.openapi(list, async (c) => {
    const rows = await listBatches(db, c.get('caller').project, c.req.valid('query'));
    return c.json({ batches: rows.map(batchSummaryView) }, 200);
  });

  app.openapi(get, async (c) => {
    const row = await getBatch(db, c.get('caller').project, c.req.valid('param').batch);
    return c.json(batchView(row, await rateOf(db, row)), 200);
  });

  app.openapi(cancel, async (c) => {
    const { project, actor } = c.get('caller');
    return c.json({ state: await cancelBatch(db, project, c.req.valid('param').batch, actor) }, 200);
  });

  app.openapi(result, async (c) => {
    const row = await getBatch(db, c.get('caller').project, c.req.valid('param').batch);
    const { result_digest: digest, result_bytes: bytes, name, state, spec } = row;
    if (digest === null) throw new AppError('conflict', `batch prediction ${row.id} is ${state}; it has no result`);
    return sendBlob(c, services, { digest, bytes: bytes ?? 0, name: `${name}.${spec.output.format}` });
  });

  return app;
}
