import { type AppError, asAppError, WIRE } from '../../errors.js';
import type { HttpExchange } from '../http/exchange.js';
import type { Services } from '../services.js';

/** Answers with JSON. */
export function answerJson(exchange: HttpExchange, status: number, body: unknown, id: string): void {
  const headers = { 'content-type': 'application/json', 'x-request-id': id };
  exchange.reply(status, headers, Buffer.from(JSON.stringify(body)));
}

/** Answers with what went wrong, in the Open Inference Protocol's form. What is our own fault is logged and not told. */
export function answerError(services: Services, exchange: HttpExchange, thrown: unknown, id: string): AppError {
  const failure = asAppError(thrown);
  if (failure.code === 'internal') services.log.error('a prediction failed', { requestId: id, error: thrown });
  const headers: Record<string, string> = {
    'content-type': 'application/json',
    'x-request-id': id,
    'sluice-error-code': failure.code,
  };
  if (failure.retryAfterSec !== undefined) headers['retry-after'] = String(Math.ceil(failure.retryAfterSec));
  if (failure.code === 'unauthenticated') headers['www-authenticate'] = 'Bearer';
  const error = failure.code === 'internal' ? `internal error (request ${id})` : failure.message;
  exchange.reply(WIRE[failure.code].http, headers, Buffer.from(JSON.stringify({ error })));
  return failure;
}
