/** What clients report of an endpoint's answers, and what it adds up to. */
import { createRoute, z } from '@hono/zod-openapi';
import { banditOf } from '../../core/bandit/adjust.js';
import { getEndpoint } from '../../core/endpoints/store.js';
import { type FeedbackItem, feedbackItemSchema, MOST_ITEMS, outcomesOf } from '../../core/feedback/item.js';
import { readFeedback, recordFeedback, summaryOf } from '../../core/feedback/store.js';
import { AppError } from '../../errors.js';
import { callerOf } from '../data-plane/access.js';
import { describeIssues } from '../issues.js';
import { apiTimeout, jsonBody } from '../middlewares.js';
import { answer, component, named, newRouter, READ_ERRORS, time, WRITE_ERRORS } from '../openapi.js';
import type { Services } from '../services.js';

const tags = ['Feedback'];
const params = z.object({ endpoint: named('Name of the endpoint.') });
const PATH = '/endpoints/{endpoint}/feedback';
const DAY_SEC = 86_400;

const itemSchema = component('Feedback', feedbackItemSchema);
const itemsSchema = z.array(feedbackItemSchema).min(1).max(MOST_ITEMS);

const report = createRoute({
  method: 'post',
  path: PATH,
  operationId: 'reportFeedback',
  summary: 'Report what came of answers: rewards and labels',
  description:
    'For whoever may predict. A report is counted whole or not at all; what was counted before under the same token, id or ' +
    'request id is not counted again.',
  tags,
  request: {
    params,
    body: {
      required: true as const,
      content: { 'application/json': { schema: z.union([itemSchema, z.array(itemSchema).min(1).max(MOST_ITEMS)]) } },
    },
  },
  responses: {
    200: answer(
      z
        .object({
          counted: z.number().int().describe('Rewards and labels that were counted.'),
          duplicates: z.number().int().describe('Those that had been before.'),
        })
        .openapi('FeedbackReceipt'),
      'What was counted.',
    ),
    ...WRITE_ERRORS,
  },
});

const summarySchema = z
  .object({
    count: z.number().int(),
    mean: z.number().nullable().describe('Null without reports.'),
    low: z
      .number()
      .describe('The true mean lies between `low` and `high` with 95 % confidence, however often one looks.'),
    high: z.number(),
  })
  .openapi('FeedbackMean');

const show = createRoute({
  method: 'get',
  path: PATH,
  operationId: 'getFeedback',
  summary: 'What was reported of each revision in a window',
  tags,
  request: {
    params,
    query: z.object({
      windowSec: z.coerce
        .number()
        .int()
        .min(60)
        .max(30 * DAY_SEC)
        .default(DAY_SEC)
        .describe('How far back, to the minute.'),
    }),
  },
  responses: {
    200: answer(
      z
        .object({
          windowSec: z.number().int(),
          revisions: z.array(z.object({ revision: z.number().int(), reward: summarySchema, accuracy: summarySchema })),
          bandit: z
            .object({ reason: z.string(), changedAt: time.nullable(), nextAt: time })
            .nullable()
            .describe('What was last decided about the traffic; null where it does not follow the feedback.'),
        })
        .openapi('FeedbackSummary'),
      'By revision, lowest first.',
    ),
    ...READ_ERRORS,
  },
});

/** The route of reports, which also those may call who may only predict. */
export function feedbackRoutes(services: Services) {
  const { db, clock, limits } = services;
  const app = newRouter();
  // checked below, where a single item and a list are told of in the same words
  app.use(PATH.replace('{endpoint}', ':endpoint'), apiTimeout(limits.apiTimeoutMs), jsonBody(limits.bodyBytes));

  app.post(PATH.replace('{endpoint}', ':endpoint'), async (c) => {
    const caller = callerOf(services, {
      authorization: c.req.header('authorization'),
      apiKey: c.req.header('x-api-key'),
    });
    const name = c.req.param('endpoint') ?? '';
    const endpoint = await getEndpoint(db, caller.project, name).catch((error) => {
      if (caller.role === 'anonymous' && error instanceof AppError) return undefined;
      throw error;
    });
    if (!endpoint || (caller.role === 'anonymous' && endpoint.access !== 'public'))
      throw new AppError('unauthenticated', 'a key is needed: send Authorization: Bearer KEY');
    const { feedback } = endpoint.routing;
    if (!feedback?.enabled)
      throw new AppError('conflict', `endpoint "${name}" takes no feedback: set routing.feedback.enabled first`);
    if (!/^application\/json\b/i.test(c.req.header('content-type') ?? ''))
      throw new AppError('invalid', 'header content-type must be application/json');
    const outcomes = outcomesOf(readItems(await c.req.json<unknown>()), {
      endpointId: endpoint.id,
      endpoint: name,
      secret: endpoint.feedback_secret,
      lastRevision: endpoint.last_revision,
      maxAgeSec: feedback.maxAgeSec,
      trusted: caller.role !== 'anonymous',
      nowMs: clock.now(),
    });
    const counted = await recordFeedback(db, endpoint.id, outcomes);
    return c.json({ counted, duplicates: outcomes.length - counted }, 200);
  });
  app.openAPIRegistry.registerPath(report);

  return app;
}

/** The route of what it adds up to. */
export function feedbackSummaryRoutes({ db }: Services) {
  return newRouter().openapi(show, async (c) => {
    const { id } = await getEndpoint(db, c.get('caller').project, c.req.valid('param').endpoint);
    const { windowSec } = c.req.valid('query');
    const reported = await readFeedback(db, id, windowSec);
    const bandit = await banditOf(db, id);
    return c.json(
      {
        windowSec,
        revisions: [...reported].map(([revision, { reward, accuracy }]) => ({
          revision,
          reward: summaryOf(reward ?? NOTHING),
          accuracy: summaryOf(accuracy ?? NOTHING),
        })),
        bandit: bandit
          ? {
              reason: bandit.reason,
              changedAt: bandit.changed_at?.toISOString() ?? null,
              nextAt: bandit.next_at.toISOString(),
            }
          : null,
      },
      200,
    );
  });
}

const NOTHING = { count: 0, sum: 0 };

function readItems(body: unknown): FeedbackItem[] {
  const items = Array.isArray(body) ? body : [body];
  const read = itemsSchema.safeParse(items);
  if (read.success) return read.data;
  const problems = read.error.issues.map((issue) => words(issue, items));
  throw new AppError('invalid', problems.slice(0, 20).join('; '), { details: { in: 'json', problems } });
}

function words(issue: z.core.$ZodIssue, items: unknown[]): string {
  const [at, field] = issue.path;
  const value = typeof at === 'number' && field === 'reward' ? (items[at] as { reward?: unknown }).reward : undefined;
  if (typeof value === 'number') return `feedback[${String(at)}].reward is ${value}, must be between 0 and 1`;
  return `feedback${describeIssues([issue], items).join('')}`;
}
