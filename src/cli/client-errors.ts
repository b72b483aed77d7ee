/** The gateway said no. */
export class ApiError extends Error {
  override readonly name = 'ApiError';

  constructor(
    message: string,
    readonly status: number,
    /** The API's error code, such as `not_found`. */
    readonly code: string,
    readonly requestId: string | undefined,
    readonly details: Readonly<Record<string, unknown>>,
    /** Seconds after which a repeat makes sense. */
    readonly retryAfterSec: number | undefined,
    /** The whole answer, where it is JSON. */
    readonly body?: unknown,
  ) {
    super(message);
  }

  /** The same error, its message saying where it came up. */
  within(where: string): ApiError {
    const { status, code, requestId, details, retryAfterSec, body } = this;
    return new ApiError(`${where}: ${this.message}`, status, code, requestId, details, retryAfterSec, body);
  }

  /** From a response of 400 and above; `what` describes the call for answers that carry no message. */
  static of(response: Response, text: string, what: string): ApiError {
    const body = parseBody(text);
    const error = errorObject(body);
    const message = typeof error.message === 'string' ? error.message : plainMessage(response.status, text, what);
    const retryAfter = Number(response.headers.get('retry-after') ?? Number.NaN);
    return new ApiError(
      message,
      response.status,
      typeof error.code === 'string' ? error.code : `http_${response.status}`,
      typeof error.requestId === 'string' ? error.requestId : (response.headers.get('x-request-id') ?? undefined),
      isObject(error.details) ? error.details : {},
      Number.isFinite(retryAfter) ? retryAfter : undefined,
      body,
    );
  }
}

/** Nobody answered. */
export class UnreachableError extends Error {
  override readonly name = 'UnreachableError';

  constructor(
    readonly url: string,
    reason: string,
    cause?: unknown,
  ) {
    super(`cannot reach ${url}: ${reason}`, { cause });
  }

  static of(url: string, error: unknown): UnreachableError {
    const cause = causeOf(error);
    const reason = REASONS[String(cause.code)] ?? (cause.message || String(cause.code ?? error));
    return new UnreachableError(url, reason, error);
  }

  /** Whether nobody listens there, which waiting a moment does not change. */
  static isRefusal(error: unknown): boolean {
    return ['ECONNREFUSED', 'ENOTFOUND', 'EINVAL'].includes(String(causeOf(error).code));
  }
}

const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nobody listens there',
  ENOTFOUND: 'there is no such host',
  ECONNRESET: 'the connection broke',
  EPIPE: 'the connection broke',
  UND_ERR_SOCKET: 'the connection broke',
};

/** What `fetch failed` hides: the first error below it that has a code. */
function causeOf(error: unknown): { code?: unknown; message?: string } {
  let at: unknown = error;
  for (let depth = 0; depth < 5 && at instanceof Error; depth++) {
    if (at instanceof AggregateError && at.errors[0] instanceof Error) at = at.errors[0];
    if (at instanceof Error && 'code' in at && typeof at.code === 'string')
      return { code: at.code, message: at.message };
    if (!(at instanceof Error) || at.cause === undefined) break;
    at = at.cause;
  }
  return at instanceof Error ? { message: at.message } : {};
}

/** What an error's body says: `{error: {code, message}}`, or `{error: "message"}` from a model server. */
function errorObject(body: unknown): Readonly<Record<string, unknown>> {
  if (!isObject(body)) return {};
  if (typeof body.error === 'string') return { message: body.error };
  return isObject(body.error) ? body.error : {};
}

function parseBody(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function plainMessage(status: number, text: string, what: string): string {
  const line = text.trim().split('\n')[0]?.slice(0, 200) ?? '';
  return `${what} was answered ${status}${line && !line.startsWith('<') ? `: ${line}` : ''}`;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
