/** gRPC's status numbers, and what an error of ours is on that wire. */
import { type AppError, WIRE } from '../../errors.js';

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
 * The end of a call that failed. `internal` errors keep their words to themselves; when a retry makes sense, the trailer
 * of gRPC's retry design (A6) says after how many milliseconds.
 */
export function outcomeOf(failure: AppError): Outcome {
  const message = failure.code === 'internal' ? 'internal error' : failure.message;
  const status = WIRE[failure.code].grpc;
  if (failure.retryAfterSec === undefined) return { status, message };
  const pushback = String(Math.round(failure.retryAfterSec * 1000));
  return { status, message, metadata: { 'grpc-retry-pushback-ms': pushback } };
}
