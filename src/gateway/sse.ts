/** Server-sent events: a live view of rows that grow, resumable by the sequence number that every event carries as id. */
import { setTimeout } from 'node:timers/promises';
import type { Context } from 'hono';
import { type SSEMessage, type SSEStreamingApi, streamSSE } from 'hono/streaming';
import type { GatewayEnv } from './env.js';
import type { Services } from './services.js';

/** Proxies and clients cut what is silent for long. */
const HEARTBEAT_MS = 15_000;

/** What a look at the rows gave: there may be more at once, or soon without news, or after news; or it was the last. */
export type Look = 'more' | 'soon' | 'wait' | 'end';

/** How soon is soon. */
const SOON_MS = 100;

export interface Follow {
  /** Topics of the notifications that tell of news. */
  readonly topics: readonly string[];
  /** Reads what is new and sends it. `send` returns when the client has room for more. */
  look(send: (message: SSEMessage) => Promise<void>): Promise<Look>;
  /** How often to comment when there is nothing else to send. */
  readonly heartbeatMs?: number;
}

/** The sequence number that a client that was cut off has seen. */
export function lastEventId(c: Context): number | undefined {
  const value = c.req.header('last-event-id');
  return value !== undefined && /^\d{1,15}$/.test(value) ? Number(value) : undefined;
}

/** Answers with a stream that ends when `look` says so or the client leaves. */
export function followEvents(c: Context<GatewayEnv>, { notifications, log }: Services, follow: Follow): Response {
  const requestId = c.get('requestId');
  c.header('X-Accel-Buffering', 'no');
  return streamSSE(c, async (stream) => {
    const gone = new AbortController();
    stream.onAbort(() => gone.abort());
    try {
      // headers and the first bytes go out at once: the client knows that it listens
      await stream.write(': listening\n\n');
      await run(stream, follow, notifications, gone.signal);
    } catch (error) {
      log.error('an event stream failed', { requestId, error });
      await stream.writeSSE({
        event: 'error',
        data: JSON.stringify({ message: `internal error (request ${requestId})` }),
      });
    }
  });
}

async function run(
  stream: SSEStreamingApi,
  follow: Follow,
  notifications: Services['notifications'],
  gone: AbortSignal,
): Promise<void> {
  const heartbeatMs = follow.heartbeatMs ?? HEARTBEAT_MS;
  while (!gone.aborted) {
    const round = new AbortController();
    const stop = () => round.abort();
    gone.addEventListener('abort', stop, { once: true });
    try {
      // asked before reading: news that come in between wake the wait below
      const news = Promise.race(follow.topics.map((topic) => notifications.next(topic, heartbeatMs, round.signal)));
      let sent = 0;
      const look = await follow.look(async (message) => {
        sent++;
        await stream.writeSSE(message);
      });
      if (look === 'end') return;
      if (look === 'soon')
        await Promise.race([news, setTimeout(SOON_MS, undefined, { signal: round.signal })]).catch(() => {});
      if (look === 'wait') {
        const began = performance.now();
        await news;
        const quiet = sent === 0 && performance.now() - began >= heartbeatMs - 50;
        if (quiet && !gone.aborted) await stream.write(': heartbeat\n\n');
      }
    } finally {
      // lets go of the wake-ups that were not waited for
      stop();
      gone.removeEventListener('abort', stop);
    }
  }
}
