/** What a gateway's answers mean to a worker. */
import type { GatewayReply } from './ask.js';

/** Answers after which the same request is worth another try: too much at once, or nobody there for now. */
export const RETRIED: ReadonlySet<number> = new Set([429, 502, 503, 504]);

const LONGEST_MS = 300_000;

/** How long an answer asks to wait before the next try (`Retry-After` in seconds), in milliseconds, within reason. */
export function retryAfterMs({ headers }: GatewayReply): number {
  const value = headers['retry-after'];
  const seconds = value !== undefined && /^\d{1,9}$/.test(value) ? Number(value) : 0;
  return Math.min(LONGEST_MS, seconds * 1000);
}

/** Lets an answer's body pass unread, so that its connection can carry the next request. */
export function discard({ body }: GatewayReply): void {
  body.on('error', () => {});
  body.resume();
}
