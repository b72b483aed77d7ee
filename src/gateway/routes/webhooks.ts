/** Webhooks: the secret that they are signed with, and what became of them. */
import { createRoute, z } from '@hono/zod-openapi';
import { listDeliveries, webhookSecret } from '../../core/webhooks/store.js';
import { answer, limit, newRouter, READ_ERRORS, time } from '../openapi.js';
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
    createdAt: time,
    endedAt: time.nullable(),
  })
  .openapi('WebhookDelivery');

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
  request: { query: z.object({ state: stateSchema.optional(), limit: limit(1000, 100) }) },
  responses: { 200: answer(z.object({ deliveries: z.array(deliverySchema) }), 'Deliveries.'), ...READ_ERRORS },
});

/** Routes of webhooks. */
export function webhookRoutes({ db }: Services) {
  const app = newRouter();

  app.openapi(secret, async (c) => c.json({ secret: await webhookSecret(db, c.get('caller').project) }, 200));

  app.openapi(list, async (c) => {
    const rows = await listDeliveries(db, c.get('caller').project, c.req.valid('query'));
    const deliveries = rows.map(({ id, subject, url, state, attempt, status, reason, created_at, ended_at }) => ({
      id,
      subject,
      url,
      state,
      attempt,
      status,
      reason,
      createdAt: created_at.toISOString(),
      endedAt: ended_at?.toISOString() ?? null,
    }));
    return c.json({ deliveries }, 200);
  });

  return app;
}
