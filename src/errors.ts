/**
 * The one error type of the program and the closed set of its codes. The domain speaks codes; only the doors look up
 * what a code means on their wire, in `WIRE`, so that a new code does not compile until every door knows it.
 */
export type ErrorCode =
  | 'invalid'
  | 'unauthenticated'
  | 'forbidden'
  | 'not_found'
  | 'conflict'
  | 'too_large'
  | 'overloaded'
  | 'quota_exceeded'
  | 'not_ready'
  | 'timeout'
  | 'upstream_failed'
  | 'unsupported'
  | 'cancelled'
  | 'internal';

export interface WireMeaning {
  /** HTTP status. */
  readonly http: number;
  /** gRPC status number. */
  readonly grpc: number;
  /** Whether the same call may succeed if it is made again unchanged. */
  readonly retry: boolean;
}

export const WIRE = {
  invalid: { http: 400, grpc: 3, retry: false },
  unauthenticated: { http: 401, grpc: 16, retry: false },
  forbidden: { http: 403, grpc: 7, retry: false },
  not_found: { http: 404, grpc: 5, retry: false },
  conflict: { http: 409, grpc: 10, retry: false },
  too_large: { http: 413, grpc: 8, retry: false },
  overloaded: { http: 429, grpc: 8, retry: true },
  quota_exceeded: { http: 429, grpc: 8, retry: true },
  not_ready: { http: 503, grpc: 14, retry: true },
  timeout: { http: 504, grpc: 4, retry: true },
  upstream_failed: { http: 502, grpc: 14, retry: true },
  unsupported: { http: 501, grpc: 12, retry: false },
  cancelled: { http: 499, grpc: 1, retry: false },
  internal: { http: 500, grpc: 13, retry: false },
} as const satisfies Record<ErrorCode, WireMeaning>;

/** The header that says which of the codes an answer stands for: HTTP's statuses are fewer. */
export const ERROR_CODE_HEADER = 'sluice-error-code';

export interface ErrorOptions {
  /** Machine-readable facts beside the message: the field, the value, the bound. Never a secret. */
  readonly details?: Readonly<Record<string, unknown>>;
  /** Seconds after which a retry makes sense; becomes `Retry-After`. */
  readonly retryAfterSec?: number;
  readonly cause?: unknown;
}

export class AppError extends Error {
  override readonly name = 'AppError';
  readonly code: ErrorCode;
  readonly details: Readonly<Record<string, unknown>> | undefined;
  readonly retryAfterSec: number | undefined;

  constructor(code: ErrorCode, message: string, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.details = options.details;
    this.retryAfterSec = options.retryAfterSec;
  }
}

/** What any thrown value says, in one line. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Any thrown value as an AppError: an unknown one becomes `internal`, an abort becomes `cancelled`. */
export function asAppError(error: unknown): AppError {
  if (error instanceof AppError) return error;
  if (error instanceof Error && error.name === 'AbortError') {
    return new AppError('cancelled', 'the request was cancelled', { cause: error });
  }
  return new AppError('internal', messageOf(error), { cause: error });
}
