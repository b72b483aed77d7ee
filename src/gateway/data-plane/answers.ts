import { type AppError, asAppError, WIRE } from '../../errors.js';
import type { HttpExchange } from '../http/exchange.js';
import type { Services } from '../services.js';

const JSON_HEADERS = Object.freeze({ 'content-type': 'application/json' });

/** Answers with JSON. */
export function answerJson(exchange: HttpExchange, status: number, body: unknown, requestId: string): void {
  exchange.reply({ status, headers: JSON_HEADERS, requestId }, Buffer.from(JSON.stringify(body)));
}

/** Answers with what went wrong, in the Open Inference Protocol's form. What is our own fault is logged and not told. */
export function answerError(services: Services, exchange: HttpExchange, thrown: unknown, requestId: string): AppError {
  const failure = asAppError(thrown);
  if (failure.code === 'internal') services.log.error('a prediction failed', { requestId, error: thrown });
  const headers: Record<string, string> = { ...JSON_HEADERS, 'sluice-error-code': failure.code };
  if (failure.retryAfterSec !== undefined) headers['retry-after'] = String(Math.ceil(failure.retryAfterSec));
  if (failure.code === 'unauthenticated') headers['www-authenticate'] = 'Bearer';
  const error = failure.code === 'internal' ? `internal error (request ${requestId})` : failure.message;
  exchange.reply({ status: WIRE[failure.code].http, headers, requestId }, Buffer.from(JSON.stringify({ error })));
  return failure;
}
