import { randomUUID } from 'node:crypto';
import { RequestError } from '@hono/node-server';
import type { Context, ErrorHandler, NotFoundHandler } from 'hono';
import { HTTPException } from 'hono/http-exception';
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import { AppError, asAppError, ERROR_CODE_HEADER, type ErrorCode, WIRE } from '../errors.js';
import type { Log } from '../log.js';
import { databaseError } from './database-errors.js';
import type { GatewayEnv } from './env.js';

/** Every thrown value as the one error body, with the status that its code has in the table. */
export function onError(log: Log): ErrorHandler<GatewayEnv> {
  return (error, c) => {
    const requestId = c.get('requestId') ?? '';
    const failure = known(error, c);
    if (failure.code === 'internal') {
      log.error('a request failed', { requestId, method: c.req.method, path: c.req.path, error });
      return send(c, new AppError('internal', `internal error (request ${requestId})`));
    }
    return send(c, failure);
  };
}

/** The same, in the Open Inference Protocol's form. */
export function onV2Error(log: Log): ErrorHandler<GatewayEnv> {
  return (error, c) => {
    const requestId = c.get('requestId') ?? '';
    const failure = known(error, c);
    if (failure.code === 'internal')
      log.error('a request failed', { requestId, method: c.req.method, path: c.req.path, error });
    describe(c, failure);
    c.header(ERROR_CODE_HEADER, failure.code);
    const message = failure.code === 'internal' ? `internal error (request ${requestId})` : failure.message;
    return c.json({ error: message }, WIRE[failure.code].http as ContentfulStatusCode);
  };
}

/** What is said where a request does not get as far as the routes: its target is no path, such as `*`, or we failed. */
export function onUnroutable(log: Log): (error: unknown) => Response {
  return (error) => {
    const broken = error instanceof RequestError;
    const requestId = randomUUID();
    if (!broken) log.error('a request failed before it was routed', { requestId, error });
    const code: ErrorCode = broken ? 'invalid' : 'internal';
    const message = broken
      ? `the request's target cannot be read: ${error.message}`
      : `internal error (request ${requestId})`;
    const headers = { 'X-Request-Id': requestId };
    return Response.json({ error: { code, message, requestId } }, { status: WIRE[code].http, headers });
  };
}

/** Nothing at this path, or nothing for this method. */
export const notFound: NotFoundHandler<GatewayEnv> = (c) => {
  return send(c, new AppError('not_found', `there is nothing at ${c.req.path}`, { details: { path: c.req.path } }));
};

/** The path is right and the method is wrong. */
export function methodNotAllowed(c: Context<GatewayEnv>, allowed: readonly string[]): Response {
  c.header('Allow', allowed.join(', '));
  return send(c, new AppError('invalid', `${c.req.path} takes ${allowed.join(', ')}, not ${c.req.method}`), 405);
}

/** Headers that say more of a failure. */
function describe(c: Context<GatewayEnv>, failure: AppError): void {
  if (failure.code === 'unauthenticated') c.header('WWW-Authenticate', 'Bearer realm="sluice"');
  if (failure.retryAfterSec !== undefined) c.header('Retry-After', String(Math.ceil(failure.retryAfterSec)));
}

function send(c: Context<GatewayEnv>, failure: AppError, status: number = WIRE[failure.code].http): Response {
  describe(c, failure);
  const error = {
    code: failure.code,
    message: failure.message,
    requestId: c.get('requestId') ?? '',
    ...(failure.details ? { details: failure.details } : {}),
  };
  return c.json({ error }, status as ContentfulStatusCode);
}

function known(error: Error, c: Context<GatewayEnv>): AppError {
  if (error instanceof AppError) return error;
  if (error instanceof HTTPException) {
    if (error.status !== 415) return new AppError(codeOf(error.status), error.message);
    const type = c.req.header('content-type');
    return new AppError(
      'invalid',
      `${type === undefined ? 'a body without a Content-Type' : `Content-Type ${type}`} is not taken here: send ` +
        'application/json, or application/octet-stream where bytes are taken',
    );
  }
  return databaseError(error) ?? asAppError(error);
}

function codeOf(status: number): ErrorCode {
  const codes = Object.keys(WIRE) as ErrorCode[];
  return codes.find((code) => WIRE[code].http === status) ?? (status < 500 ? 'invalid' : 'internal');
}
