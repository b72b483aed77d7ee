/** One try to deliver a webhook: what is sent, and what its answer means. */
import { deadline, joinSignals } from '../../abort.js';
import { AppError, messageOf } from '../../errors.js';
import type { Db } from '../schema.js';
import { signedHeaders } from './signature.js';
import { claimDelivery, noteTry, TRY_MS, type TryOutcome, webhookSecret } from './store.js';

/**
 * Posts to an address that somebody else named and answers the status. Follows no redirect and keeps nothing of the
 * answer's body. Rejects with `forbidden` where the address is one that must not be reached, with anything else where it
 * could not be.
 */
export type PostWebhook = (request: {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  readonly signal: AbortSignal;
}) => Promise<number>;

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
/** Waits between tries, as the specification recommends them: quick at first, then for about two days. */
export const RETRY_MS: readonly number[] = [
  5 * SECOND,
  30 * SECOND,
  2 * MINUTE,
  10 * MINUTE,
  HOUR,
  2 * HOUR,
  5 * HOUR,
  10 * HOUR,
  24 * HOUR,
];

/** What a try's answer, or its failure, means. `attempt` counts from 1; `random` in [0, 1) spreads what failed together. */
export function judge(attempt: number, answer: number | AppError, random: number): TryOutcome {
  const status = typeof answer === 'number' ? answer : null;
  if (status !== null && status >= 200 && status < 300)
    return { state: 'delivered', status, reason: `answered ${status}`, inMs: 0 };
  const reason = typeof answer === 'number' ? `answered ${answer}` : answer.message;
  const wait = RETRY_MS[attempt - 1];
  // 410: the receiver wants no more of them
  const final = status === 410 || (typeof answer !== 'number' && answer.code === 'forbidden');
  if (final || wait === undefined) return { state: 'failed', status, reason, inMs: 0 };
  return { state: 'queued', status, reason, inMs: Math.round(wait * (0.9 + 0.2 * random)) };
}

/** How long an event is tried to be delivered, from when it happened. */
export const EVENT_MS = 24 * HOUR;

/** Waits between tries of an event: the last one again and again. Those behind it wait as well, so it is not long. */
const EVENT_RETRY_MS: readonly number[] = [5 * SECOND, 30 * SECOND, 2 * MINUTE, 10 * MINUTE];

/** Answers that say that the message itself is wrong: it would be refused again, and holds up those behind it. */
const OWN_FAULT: ReadonlySet<number> = new Set([400, 413, 415, 422]);

/** What a try's answer means for an event that is `ageMs` old. */
export function judgeEvent(attempt: number, answer: number | AppError, random: number, ageMs: number): TryOutcome {
  const judged = judge(1, answer, random);
  if (judged.state !== 'queued') return judged;
  const { status, reason } = judged;
  if (status !== null && OWN_FAULT.has(status)) return { state: 'failed', status, reason, inMs: 0 };
  if (ageMs >= EVENT_MS)
    return {
      state: 'failed',
      status,
      reason: `given up ${Math.round(EVENT_MS / HOUR)} h after the event: ${reason}`,
      inMs: 0,
    };
  const wait = EVENT_RETRY_MS[Math.min(attempt, EVENT_RETRY_MS.length) - 1] ?? 0;
  return { state: 'queued', status, reason, inMs: Math.round(wait * (0.9 + 0.2 * random)) };
}

/** How long an answer is waited for. */
const ANSWER_MS = TRY_MS / 2;

/** The status that a receiver answers in time, or why there is none. */
async function answerOf(post: PostWebhook, request: Parameters<PostWebhook>[0]): Promise<number | AppError> {
  const late = deadline(ANSWER_MS);
  const joined = joinSignals([request.signal, late.signal]);
  try {
    return await post({ ...request, signal: joined.signal });
  } catch (error) {
    if (late.signal.aborted) return new AppError('timeout', `no answer within ${ANSWER_MS} ms`);
    return error instanceof AppError ? error : new AppError('upstream_failed', messageOf(error));
  } finally {
    joined.release();
    late.release();
  }
}

export interface SendDeps {
  readonly db: Db;
  readonly post: PostWebhook;
}

/** Makes a try, when one is due. Answers when to make the next one, with the number of those made; undefined for never. */
export async function sendWebhook(
  deps: SendDeps,
  id: string,
  signal: AbortSignal,
): Promise<{ attempt: number; inMs: number } | undefined> {
  const tried = await tryDelivery(deps, id, signal);
  return tried?.state === 'queued' ? tried : undefined;
}

/** Makes a try, when one is due, and notes what became of it; undefined when there is nothing to do. */
export async function tryDelivery(
  { db, post }: SendDeps,
  id: string,
  signal: AbortSignal,
): Promise<(TryOutcome & { attempt: number }) | undefined> {
  const delivery = await claimDelivery(db, id);
  if (!delivery) return undefined;
  const { body, url, attempt, project, give_up_at: giveUpAt } = delivery;
  const timestampSec = Math.floor(Date.now() / 1000);
  const signed = signedHeaders(await webhookSecret(db, project), { id, timestampSec, body });
  const headers = {
    'content-type': 'application/json',
    'user-agent': 'sluice-webhooks',
    ...delivery.headers,
    ...signed,
  };
  const answer = await answerOf(post, { url, headers, body, signal });
  const outcome =
    giveUpAt === null
      ? judge(attempt, answer, Math.random())
      : judgeEvent(attempt, answer, Math.random(), Date.now() - giveUpAt.getTime() + EVENT_MS);
  await noteTry(db, { id, attempt }, outcome);
  return { ...outcome, attempt };
}
