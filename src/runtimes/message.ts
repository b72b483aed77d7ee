/** Requests and answers of a model server, whichever door they pass. */
import { asAppError, WIRE } from '../errors.js';
import type { Cancellation } from './batching/batcher.js';

/** A request. Header names in lower case. */
export interface RuntimeRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
  /** Aborted when the one who asked has gone: work that has not started is then dropped. */
  readonly signal: Cancellation;
  /** When the answer is of no use any more, in milliseconds of performance.now(). */
  readonly deadline?: number | undefined;
}

export interface RuntimeResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

/** Takes the answer; called once. */
export type Respond = (response: RuntimeResponse) => void;

/** The headers of every plain JSON answer: one object, so that a door may know it by identity. */
export const JSON_HEADERS: Readonly<Record<string, string>> = Object.freeze({ 'content-type': 'application/json' });

/** Says which of the error codes an answer stands for: HTTP statuses are fewer. */
export const ERROR_CODE_HEADER = 'sluice-error-code';

const NO_BODY = Buffer.alloc(0);

export function header(request: RuntimeRequest, name: string): string | undefined {
  const value = request.headers[name];
  return Array.isArray(value) ? value[0] : value;
}

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
