import { collect, limited, timed, tooLarge } from './body.js';
import { decodeBody, requestCoding } from './content-coding.js';
import type { HttpExchange } from './exchange.js';

export interface BodyBounds {
  /** Of the body, unpacked. */
  readonly maxBytes: number;
  readonly timeoutMs: number;
}

/** All of a request's body, unpacked. */
export async function wholeBody(exchange: HttpExchange, { maxBytes, timeoutMs }: BodyBounds): Promise<Buffer> {
  const coding = requestCoding(exchange.header('content-encoding'));
  const { bodyBytes } = exchange;
  if (bodyBytes !== undefined && bodyBytes > maxBytes) throw tooLarge(bodyBytes, maxBytes);
  const sent = exchange.body ?? (await collect(timed(limited(exchange.readBody(), maxBytes), timeoutMs)));
  return coding === undefined ? sent : decodeBody(sent, coding, maxBytes);
}
