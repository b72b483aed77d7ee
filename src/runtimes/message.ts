/** Requests and answers of a model server, whichever door they pass. */
import { asAppError, ERROR_CODE_HEADER, WIRE } from '../errors.js';
import { JSON_HEADERS, type Message, type Printed } from '../protocol/codecs/codec.js';
import type { Cancellation } from './batching/batcher.js';

export interface RuntimeRequest extends Message {
  readonly method: string;
  readonly path: string;
  /** Aborted when the one who asked has gone: work that has not started is then dropped. */
  readonly signal: Cancellation;
  /** When the answer is of no use any more, in milliseconds of performance.now(). */
  readonly deadline?: number | undefined;
}

export interface RuntimeResponse extends Printed {
  readonly status: number;
  /** How long the request waited for its turn, in milliseconds. */
  readonly queuedMs?: number;
}

/** Takes the answer; called once. */
export type Respond = (response: RuntimeResponse) => void;

const NO_BODY = Buffer.alloc(0);

export function json(value: unknown, status = 200): RuntimeResponse {
  return { status, headers: JSON_HEADERS, body: Buffer.from(JSON.stringify(value), 'utf8') };
}

/** Any thrown value as the protocol's error answer. */
export function failure(thrown: unknown): RuntimeResponse {
  const error = asAppError(thrown);
  const headers: Record<string, string> = { ...JSON_HEADERS, [ERROR_CODE_HEADER]: error.code };
  if (error.retryAfterSec !== undefined) headers['retry-after'] = String(error.retryAfterSec);
  return {
    status: WIRE[error.code].http,
    headers,
    body: error.code === 'cancelled' ? NO_BODY : Buffer.from(JSON.stringify({ error: error.message }), 'utf8'),
  };
}
