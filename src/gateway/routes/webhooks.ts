/** Webhooks: who is told of events, the secret that messages are signed with, and what became of them. */
import { createRoute, z } from '@hono/zod-openapi';
import { kindPattern } from '../../core/events/filter.js';
import { checkWebhookUrl } from '../../core/webhooks/address.js';
import { listDeliveries, webhookSecret } from '../../core/webhooks/store.js';
import {
  listSubscriptions,
  setEnabled,
  subscribe,
  testSubscription,
  unsubscribe,
} from '../../core/webhooks/subscriptions.js';
import { answer, jsonRequest, limit, named, newRouter, READ_ERRORS, time, WRITE_ERRORS } from '../openapi.js';
import type { Services } from '../services.js';

const tags = ['Webhooks'];
const stateSchema = z.enum(['queued', 'delivered', 'failed']);

const deliverySchema = z
  .object({
    id: z.string().describe('The `webhook-id` that it is sent with.'),
    subject: z.string().openapi({ example: 'prediction/pr_…' }),
    url: z.string(),
    state: stateSchema,
    attempt: z.number().int().describe('How often it was tried.'),
    status: z.number().int().nullable().describe('HTTP status of the last answer.'),
    reason: z.string(),
    webhook: z.string().nullable().describe('The subscription that it was sent for; null for one of a prediction.'),
    seq: z.number().int().nullable().describe('Sequence number of the event that it tells of.'),
    createdAt: time,
    endedAt: time.nullable(),
  })
  .openapi('WebhookDelivery');

const formatSchema = z
  .enum(['cloudevents', 'binary'])
  .describe('CloudEvents 1.0: the whole event as JSON, or its data with the attributes in ce- headers.');

const newSchema = z
  .object({
    url: z.string().min(1),
    kinds: z
      .array(kindPattern)
      .min(1)
      .max(64)
      .default(['*'])
      .describe('Kinds of events, or patterns such as rollout.*.'),
    format: formatSchema.default('cloudevents'),
    enabled: z.boolean().default(true),
  })
  .strict()
  .openapi('NewWebhook');

const webhookSchema = z
  .object({
    id: z.string(),
    url: z.string(),
    kinds: z.array(z.string()),
    format: formatSchema,
    enabled: z.boolean(),
    reason: z.string().describe('Why it is not enabled, or what the last try came to that is made again.'),
    cursor: z.number().int().describe('Events up to this one are delivered or stand among the deliveries.'),
    nextAt: time.describe('Not before then is the next one sent.'),
    createdAt: time,
  })
  .openapi('Webhook');

const params = z.object({ webhook: named('Id of the webhook.') });

const subscriptions = createRoute({
  method: 'get',
  path: '/webhooks',
  operationId: 'listWebhooks',
  summary: 'Who is told of events, and how far each has come',
  tags,
  responses: { 200: answer(z.object({ webhooks: z.array(webhookSchema) }), 'Oldest first.'), ...READ_ERRORS },
});

const add = createRoute({
  method: 'post',
  path: '/webhooks',
  operationId: 'addWebhook',
  summary: 'Have events posted to an address from now on',
  description: 'Each event at least once, in order: the next one goes when the one before was taken or given up.',
  tags,
  request: { body: jsonRequest(newSchema) },
  responses: { 201: answer(z.object({ id: z.string() }), 'Its id.'), ...WRITE_ERRORS },
});

const change = createRoute({
  method: 'put',
  path: '/webhooks/{webhook}',
  operationId: 'setWebhook',
  summary: 'Stop a webhook, or let it go on from where it was',
  tags,
  request: { params, body: jsonRequest(z.object({ enabled: z.boolean() }).strict().openapi('WebhookChange')) },
  responses: { 200: answer(z.object({ enabled: z.boolean() }), 'Its state now.'), ...WRITE_ERRORS },
});

const remove = createRoute({
  method: 'delete',
  path: '/webhooks/{webhook}',
  operationId: 'deleteWebhook',
  summary: 'Remove a webhook; what waits for it is not sent',
  tags,
  request: { params },
  responses: { 204: { description: 'It is gone.' }, ...WRITE_ERRORS },
});

const test = createRoute({
  method: 'post',
  path: '/webhooks/{webhook}/test',
  operationId: 'testWebhook',
  summary: 'Have a test event sent; its delivery says what became of it',
  tags,
  request: { params },
  responses: { 202: answer(z.object({ id: z.string() }), 'It is on its way.'), ...WRITE_ERRORS },
});

const secret = createRoute({
  method: 'get',
  path: '/webhooks/secret',
  operationId: 'getWebhookSecret',
  summary: 'The secret that webhooks of this project are signed with',
  description: 'As the Standard Webhooks specification has it: HMAC-SHA256, version v1. Made when first asked for.',
  tags,
  responses: { 200: answer(z.object({ secret: z.string() }).openapi('WebhookSecret'), 'The secret.'), ...READ_ERRORS },
});

const list = createRoute({
  method: 'get',
  path: '/webhooks/deliveries',
  operationId: 'listWebhookDeliveries',
  summary: 'Webhooks that were sent or are to be, newest first',
  tags,
  request: {
    query: z.object({
      state: stateSchema.optional(),
      webhook: z.string().optional().describe('Only those of this subscription.'),
      limit: limit(1000, 100),
    }),
  },
  responses: { 200: answer(z.object({ deliveries: z.array(deliverySchema) }), 'Deliveries.'), ...READ_ERRORS },
});

/** Routes of webhooks. */
export function webhookRoutes({ db, asynchronous }: Services) {
  const app = newRouter();

  app.openapi(secret, async (c) => c.json({ secret: await webhookSecret(db, c.get('caller').project) }, 200));

  app.openapi(list, async (c) => {
    const rows = await listDeliveries(db, c.get('caller').project, c.req.valid('query'));
    const deliveries = rows.map((row) => ({
      id: row.id,
      subject: row.subject,
      url: row.url,
      state: row.state,
      attempt: row.attempt,
      status: row.status,
      reason: row.reason,
      webhook: row.subscription_id,
      seq: row.seq,
      createdAt: row.created_at.toISOString(),
      endedAt: row.ended_at?.toISOString() ?? null,
    }));
    return c.json({ deliveries }, 200);
  });

  app.openapi(subscriptions, async (c) => {
    const rows = await listSubscriptions(db, c.get('caller').project);
    const webhooks = rows.map(({ id, url, kinds, format, enabled, reason, cursor, due_at, created_at }) => ({
      ...{ id, url, kinds, format, enabled, reason, cursor },
      nextAt: due_at.toISOString(),
      createdAt: created_at.toISOString(),
    }));
    return c.json({ webhooks }, 200);
  });

  app.openapi(add, async (c) => {
    const { project, actor } = c.get('caller');
    const { url, ...wanted } = c.req.valid('json');
    const checked = checkWebhookUrl(url, asynchronous.webhooksToPrivate);
    return c.json({ id: await subscribe(db, { ...wanted, url: checked, project, actor }) }, 201);
  });

  app.openapi(change, async (c) => {
    const { project, actor } = c.get('caller');
    const { enabled } = c.req.valid('json');
    const { webhook: id } = c.req.valid('param');
    await setEnabled(db, { project, id, enabled, reason: `${enabled ? 'enabled' : 'disabled'} by ${actor}` });
    return c.json({ enabled }, 200);
  });

  app.openapi(remove, async (c) => {
    const { project, actor } = c.get('caller');
    await unsubscribe(db, project, c.req.valid('param').webhook, actor);
    return c.body(null, 204);
  });

  app.openapi(test, async (c) => {
    const { project, actor } = c.get('caller');
    const { webhook: id } = c.req.valid('param');
    await testSubscription(db, project, id, actor);
    return c.json({ id }, 202);
  });

  return app;
}
