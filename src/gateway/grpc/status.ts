/** gRPC's status numbers, and what an error of ours is on that wire. */
import { type AppError, ERROR_CODE_HEADER, WIRE } from '../../errors.js';

export const STATUS = {
  OK: 0,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  RESOURCE_EXHAUSTED: 8,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
} as const;

/** How a call ends. */
export interface Outcome {
  readonly status: number;
  readonly message?: string;
  /** Trailing metadata: names in lower case. */
  readonly metadata?: Readonly<Record<string, string>>;
}

/**
 * The end of a call that failed, which says our code for it and the request's id. `internal` errors keep their words to
 * themselves; when a retry makes sense, the trailer of gRPC's retry design (A6) says after how many milliseconds.
 */
export function outcomeOf({ code, message, retryAfterSec }: AppError, requestId?: string): Outcome {
  const metadata: Record<string, string> = { [ERROR_CODE_HEADER]: code };
  if (requestId !== undefined) metadata['x-request-id'] = requestId;
  if (retryAfterSec !== undefined) metadata['grpc-retry-pushback-ms'] = String(Math.round(retryAfterSec * 1000));
  const shown =
    code === 'internal' ? `internal error${requestId === undefined ? '' : ` (request ${requestId})`}` : message;
  return { status: WIRE[code].grpc, message: shown, metadata };
}
