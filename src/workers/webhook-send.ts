import { attemptQueueId, type Enqueue, type JobHandler } from '../core/jobs.js';
import { type SendDeps, sendWebhook } from '../core/webhooks/send.js';

/** Tries to deliver a webhook, and asks for the next try where one is wanted. Should that be lost, the reconcile pass asks. */
export function createWebhookSend(deps: SendDeps & { readonly enqueue: Enqueue }): JobHandler<'webhook.send'> {
  return async ({ deliveryId }, signal) => {
    const next = await sendWebhook(deps, deliveryId, signal);
    if (!next) return;
    const id = attemptQueueId(deliveryId, next.attempt);
    await deps.enqueue('webhook.send', { deliveryId }, { id, delayMs: next.inMs });
  };
}
