/** Training jobs: submit, watch, cancel. */
import { createRoute, z } from '@hono/zod-openapi';
import { attemptQueueId } from '../../core/jobs.js';
import { listPromotions } from '../../core/promotions/store.js';
import { lastMetrics, logsAfter, metricsAfter } from '../../core/training/output-store.js';
import { jobSpecSchema } from '../../core/training/spec.js';
import { cancelJob, getJob, listJobs, submitJob } from '../../core/training/store.js';
import { enqueueOrLog } from '../enqueue.js';
import {
  jobSchema,
  jobStateSchema,
  jobSummarySchema,
  jobSummaryView,
  lineSchema,
  lineView,
  metricSchema,
  metricView,
} from '../job-view.js';
import { wantsStream } from '../middlewares.js';
import {
  after,
  answer,
  component,
  idempotencyHeaders,
  jsonRequest,
  limit,
  named,
  newRouter,
  READ_ERRORS,
  WRITE_ERRORS,
} from '../openapi.js';
import type { Services } from '../services.js';
import { followEvents, lastEventId } from '../sse.js';

const tags = ['Jobs'];
const params = z.object({ job: named('Id of the job.') });
/** Lines that a stream reads at once. */
const BATCH = 500;

const submittedSchema = z.object({ id: z.string(), state: jobStateSchema }).openapi('SubmittedJob');

const submit = createRoute({
  method: 'post',
  path: '/jobs',
  operationId: 'submitJob',
  summary: 'Submit a training job',
  description: 'Once this answers, the job is accepted and will reach its end, whatever happens to this process.',
  tags,
  request: {
    headers: idempotencyHeaders,
    body: jsonRequest(component('JobSpec', jobSpecSchema)),
  },
  responses: {
    200: answer(submittedSchema, 'It was submitted before under this key.'),
    202: answer(submittedSchema, 'It is accepted.'),
    ...WRITE_ERRORS,
  },
});

const list = createRoute({
  method: 'get',
  path: '/jobs',
  operationId: 'listJobs',
  summary: 'Jobs, newest first',
  tags,
  request: { query: z.object({ state: jobStateSchema.optional(), limit: limit(1000, 100) }) },
  responses: { 200: answer(z.object({ jobs: z.array(jobSummarySchema) }), 'Jobs.'), ...READ_ERRORS },
});

const get = createRoute({
  method: 'get',
  path: '/jobs/{job}',
  operationId: 'getJob',
  summary: 'A job with its last metrics and its promotions',
  tags,
  request: { params },
  responses: { 200: answer(jobSchema, 'The job.'), ...READ_ERRORS },
});

const cancel = createRoute({
  method: 'post',
  path: '/jobs/{job}/cancel',
  operationId: 'cancelJob',
  summary: 'Stop a job: at once when it waits, by SIGTERM when it runs; one that ended stays as it is',
  tags,
  request: { params },
  responses: { 200: answer(z.object({ state: jobStateSchema }), 'Its state now.'), ...WRITE_ERRORS },
});

const logs = createRoute({
  method: 'get',
  path: '/jobs/{job}/logs',
  operationId: 'getJobLogs',
  summary: 'Lines of output; live with Accept: text/event-stream or follow=true',
  description:
    'As a stream: event `log` for each line, its id the sequence number that Last-Event-ID resumes from, and event `end` ' +
    'with state and reason when the job ended and all was sent.',
  tags,
  request: {
    params,
    query: z.object({ after, limit: limit(5000, 1000), follow: z.enum(['true', 'false']).optional() }),
  },
  responses: {
    200: {
      description: 'Lines, oldest first; `next` is the `after` of the next page.',
      content: {
        'application/json': { schema: z.object({ lines: z.array(lineSchema), next: z.number().int() }) },
        'text/event-stream': { schema: z.custom<never>().openapi({ type: 'string' }) },
      },
    },
    ...READ_ERRORS,
  },
});

const metrics = createRoute({
  method: 'get',
  path: '/jobs/{job}/metrics',
  operationId: 'getJobMetrics',
  summary: 'Values that the job reported, oldest first',
  tags,
  request: { params, query: z.object({ after, limit: limit(10_000, 10_000) }) },
  responses: {
    200: answer(
      z.object({ metrics: z.array(metricSchema), next: z.number().int() }),
      '`next` is the `after` of the next page.',
    ),
    ...READ_ERRORS,
  },
});

/** Routes of jobs. */
export function jobRoutes(services: Services) {
  const app = newRouter();
  const { db } = services;

  app.openapi(submit, async (c) => {
    const { project } = c.get('caller');
    const key = c.req.valid('header')['idempotency-key'];
    const { id, created } = await submitJob(db, project, c.req.valid('json'), key);
    const { state } = await getJob(db, project, id);
    // also when it was there before: the first submission may have died before it got here
    if (state === 'queued') await enqueueOrLog(services, 'training.run', { jobId: id }, attemptQueueId(id, 0));
    return c.json({ id, state }, created ? 202 : 200);
  });

  app.openapi(list, async (c) => {
    const rows = await listJobs(db, c.get('caller').project, c.req.valid('query'));
    return c.json({ jobs: rows.map(jobSummaryView) }, 200);
  });

  app.openapi(get, async (c) => {
    const { project } = c.get('caller');
    const row = await getJob(db, project, c.req.valid('param').job);
    const [last, promotions] = await Promise.all([
      lastMetrics(db, row.id, row.attempt),
      listPromotions(db, project, { job: row.id, limit: 100 }),
    ]);
    return c.json(
      {
        ...jobSummaryView(row),
        spec: row.spec,
        metrics: last,
        promotions: promotions.map(({ id, endpoint, state }) => ({ id, endpoint, state })),
      },
      200,
    );
  });

  app.openapi(cancel, async (c) => {
    const { project, actor } = c.get('caller');
    return c.json({ state: await cancelJob(db, project, c.req.valid('param').job, actor) }, 200);
  });

  app.openapi(logs, async (c) => {
    const { project } = c.get('caller');
    const { id } = await getJob(db, project, c.req.valid('param').job);
    const query = c.req.valid('query');
    if (!wantsStream(c)) {
      const rows = await logsAfter(db, id, query.after, query.limit);
      return c.json({ lines: rows.map(lineView), next: rows.at(-1)?.seq ?? query.after }, 200);
    }
    let seen = lastEventId(c) ?? query.after;
    return followEvents(c, services, {
      topics: [`logs/${id}`, `events/${project}`],
      async look(send) {
        // the state is read first: of a job that had ended by then, the lines read next are all there are
        const { ended_at, state, reason } = await getJob(db, project, id);
        const rows = await logsAfter(db, id, seen, BATCH);
        for (const row of rows) {
          await send({ id: String(row.seq), event: 'log', data: JSON.stringify(lineView(row)) });
          seen = row.seq;
        }
        if (rows.length === BATCH) return 'more';
        if (!ended_at) return 'wait';
        await send({ event: 'end', data: JSON.stringify({ state, reason }) });
        return 'end';
      },
    });
  });

  app.openapi(metrics, async (c) => {
    const { id } = await getJob(db, c.get('caller').project, c.req.valid('param').job);
    const query = c.req.valid('query');
    const rows = await metricsAfter(db, id, query.after, query.limit);
    return c.json({ metrics: rows.map(metricView), next: rows.at(-1)?.seq ?? query.after }, 200);
  });

  return app;
}
