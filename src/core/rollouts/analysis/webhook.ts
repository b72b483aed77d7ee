/** What a webhook that was asked for a verdict answers. Pure. */
import { z } from 'zod';
import { jsonOf, type Measurement } from './asked.js';

const verdict = z.object({
  verdict: z.enum(['worse', 'not_worse', 'unclear']),
  reason: z.string().max(2000).default('the webhook gave no reason'),
});

/**
 * A verdict in the body counts where the status is one of success. Without one, 200 to 202 let the rollout go on and 4xx say
 * that it is worse, as Flagger's webhooks do; a request that came too early, or too often, and anything else is no answer.
 */
export function readWebhookVerdict({ status, body }: { readonly status: number; readonly body: string }): Measurement {
  const said = verdict.safeParse(jsonOf(body));
  if (status >= 200 && status < 300 && said.success) return { kind: said.data.verdict, reason: said.data.reason };
  if (status >= 200 && status <= 202) return { kind: 'not_worse', reason: `the webhook answered ${status}` };
  const ofTheMoment = status === 408 || status === 425 || status === 429;
  if (status >= 400 && status < 500 && !ofTheMoment) {
    const reason = said.success ? said.data.reason : `the webhook answered ${status}`;
    return { kind: 'worse', reason };
  }
  return { problem: `the webhook answered ${status}` };
}
