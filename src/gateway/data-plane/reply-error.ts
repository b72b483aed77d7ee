import type { ReplyHead } from '../../core/inference/forward.js';
import { AppError, ERROR_CODE_HEADER, type ErrorCode, WIRE } from '../../errors.js';

/** Which of our codes a status of somebody else's server stands for; what is not here is the server's failure. */
const BY_STATUS: Readonly<Record<number, ErrorCode>> = {
  400: 'invalid',
  404: 'not_found',
  409: 'conflict',
  413: 'too_large',
  422: 'invalid',
  429: 'overloaded',
  501: 'unsupported',
  503: 'not_ready',
  504: 'timeout',
};

/** An answer that is an error, as one of ours: for doors whose wire has no HTTP status. */
export function errorOfReply({ status, headers }: ReplyHead, body: Buffer): AppError {
  const named = headers[ERROR_CODE_HEADER];
  const code = named !== undefined && isCode(named) ? named : (BY_STATUS[status] ?? 'upstream_failed');
  const retryAfterSec = Number(headers['retry-after'] ?? Number.NaN);
  return new AppError(code, messageIn(body) ?? `the model's server answered with status ${status}`, {
    ...(Number.isFinite(retryAfterSec) ? { retryAfterSec } : {}),
  });
}

function isCode(text: string): text is ErrorCode {
  return Object.hasOwn(WIRE, text);
}

/** The words of the protocol's error object. */
function messageIn(body: Buffer): string | undefined {
  try {
    const { error } = JSON.parse(body.toString('utf8')) as { error?: unknown };
    return typeof error === 'string' ? error : undefined;
  } catch {
    return undefined;
  }
}
