/** What happened in the project, as a list or live. */
import { createRoute, z } from '@hono/zod-openapi';
import { kindPattern } from '../../core/events/filter.js';
import { eventsAfter, lastEvent } from '../../core/events/store.js';
import { CLOUD_EVENTS, cloudEventOf } from '../../core/webhooks/cloud-event.js';
import { wantsStream } from '../middlewares.js';
import { after, limit, newRouter, READ_ERRORS, time } from '../openapi.js';
import type { Services } from '../services.js';
import { followEvents, lastEventId } from '../sse.js';

/** Events that a stream reads at once. */
const BATCH = 500;

const eventSchema = z
  .object({
    seq: z.number().int(),
    kind: z.string().openapi({ example: 'rollout.promoted' }),
    subject: z.string().describe('The resource that it happened to.'),
    data: z.record(z.string(), z.unknown()),
    at: time,
  })
  .openapi('Event');

const list = createRoute({
  method: 'get',
  path: '/events',
  operationId: 'listEvents',
  summary: 'Events; live with Accept: text/event-stream or follow=true',
  description:
    'As a stream: id is the sequence number that Last-Event-ID resumes from, event is the kind. Without Last-Event-ID or ' +
    '`after` it begins with what happens from now on. With Accept: application/cloudevents-batch+json a list is one of ' +
    'CloudEvents, and the header `sluice-next` says where the next page begins.',
  tags: ['Events'],
  request: {
    query: z.object({
      after: after.removeDefault().optional(),
      limit: limit(1000, 500),
      follow: z.enum(['true', 'false']).optional(),
      kinds: z
        .string()
        .transform((text) => text.split(','))
        .pipe(z.array(kindPattern).max(64))
        .optional()
        .openapi({ type: 'string', example: 'rollout.*,promotion.promoted' })
        .describe('Only these kinds, separated by commas; * stands for any text.'),
      subject: z.string().max(600).optional().describe('Only of this resource, such as endpoint/digits.'),
    }),
  },
  responses: {
    200: {
      description: 'Events, oldest first; `next` is the `after` of the next page.',
      content: {
        'application/json': { schema: z.object({ events: z.array(eventSchema), next: z.number().int() }) },
        'application/cloudevents-batch+json': {
          schema: z.custom<never>().openapi({ type: 'array', items: { type: 'object' } }),
        },
        'text/event-stream': { schema: z.custom<never>().openapi({ type: 'string' }) },
      },
    },
    ...READ_ERRORS,
  },
});

/** Routes of events. */
export function eventRoutes(services: Services) {
  const app = newRouter();
  const { db } = services;

  app.openapi(list, async (c) => {
    const { project } = c.get('caller');
    const query = c.req.valid('query');
    if (!wantsStream(c)) {
      const from = query.after ?? 0;
      const { events, upTo } = await eventsAfter(db, project, from, query.limit, query);
      if (c.req.header('accept')?.includes(CLOUD_EVENTS)) {
        const headers = { 'content-type': CLOUD_EVENTS, 'sluice-next': String(upTo) };
        return c.body(JSON.stringify(events.map(cloudEventOf)), 200, headers);
      }
      return c.json({ events: events.map(eventView), next: upTo }, 200);
    }
    let seen = lastEventId(c) ?? query.after ?? (await lastEvent(db));
    return followEvents(c, services, {
      topics: [`events/${project}`],
      async look(send) {
        const { events, upTo, held } = await eventsAfter(db, project, seen, BATCH, query);
        for (const row of events)
          await send({ id: String(row.seq), event: row.kind, data: JSON.stringify(eventView(row)) });
        seen = upTo;
        if (events.length === BATCH) return 'more';
        return held ? 'soon' : 'wait';
      },
    });
  });

  return app;
}

function eventView(row: Awaited<ReturnType<typeof eventsAfter>>['events'][number]): z.infer<typeof eventSchema> {
  return { seq: row.seq, kind: row.kind, subject: row.subject, data: row.data, at: row.at.toISOString() };
}
