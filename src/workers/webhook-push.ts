import type { Enqueue, JobHandler } from '../core/jobs.js';
import { pushEvents } from '../core/webhooks/push.js';
import type { SendDeps } from '../core/webhooks/send.js';

/** Sends a subscription what waits for it. When to look again is what the reconcile pass finds out. */
export function createWebhookPush(deps: SendDeps & { readonly enqueue: Enqueue }): JobHandler<'webhook.push'> {
  return async ({ subscriptionId }, signal) => {
    const more = await pushEvents(deps, subscriptionId, signal);
    // an id that was never used: the delivery of this turn is still held
    if (more) await deps.enqueue('webhook.push', { subscriptionId }, { id: `${subscriptionId}-more-${Date.now()}` });
  };
}
