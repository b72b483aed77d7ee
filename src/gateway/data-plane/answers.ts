import { type AppError, asAppError, ERROR_CODE_HEADER, type ErrorCode, WIRE } from '../../errors.js';
import type { HttpExchange } from '../http/exchange.js';
import type { Services } from '../services.js';
import type { Dialect } from './paths.js';

const JSON_HEADERS = Object.freeze({ 'content-type': 'application/json' });

/** Answers with JSON. */
export function answerJson(exchange: HttpExchange, status: number, body: unknown, requestId: string): void {
  exchange.reply({ status, headers: JSON_HEADERS, requestId }, Buffer.from(JSON.stringify(body)));
}

/** Answers with what went wrong, in the words of the protocol. What is our own fault is logged and not told. */
export function answerError(
  services: Services,
  exchange: HttpExchange,
  thrown: unknown,
  { requestId, dialect = 'inference' }: { readonly requestId: string; readonly dialect?: Dialect },
): AppError {
  const failure = asAppError(thrown);
  if (failure.code === 'internal') services.log.error('a prediction failed', { requestId, error: thrown });
  const headers: Record<string, string> = { ...JSON_HEADERS, [ERROR_CODE_HEADER]: failure.code };
  if (failure.retryAfterSec !== undefined) headers['retry-after'] = String(Math.ceil(failure.retryAfterSec));
  if (failure.code === 'unauthenticated') headers['www-authenticate'] = 'Bearer';
  const message = failure.code === 'internal' ? `internal error (request ${requestId})` : failure.message;
  const body = dialect === 'openai' ? openAiError(failure, message) : { error: message };
  exchange.reply({ status: WIRE[failure.code].http, headers, requestId }, Buffer.from(JSON.stringify(body)));
  return failure;
}

/** The OpenAI API's error object. */
function openAiError({ code }: AppError, message: string) {
  const { http } = WIRE[code];
  const type = http === 429 ? 'rate_limit_error' : http < 500 ? 'invalid_request_error' : 'server_error';
  return { error: { message, type, param: null, code: OPENAI_CODES[code] ?? code } };
}

const OPENAI_CODES: Partial<Record<ErrorCode, string>> = {
  unauthenticated: 'invalid_api_key',
  not_found: 'model_not_found',
};
