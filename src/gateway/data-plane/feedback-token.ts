import { writeToken } from '../../core/feedback/token.js';
import type { Destination, Plane } from './plane.js';

/** The header, or metadata, with which clients report what came of an answer. */
const FEEDBACK_HEADER = 'sluice-feedback';

/** An answer's headers with the token of its revision and request, for an endpoint that takes feedback. */
export function withToken<Value>(
  { services }: Plane,
  { endpoint, revision }: Destination,
  requestId: string,
  headers: Readonly<Record<string, Value>>,
): Readonly<Record<string, Value | string>> {
  const { feedback, id } = endpoint;
  if (!feedback) return headers;
  const second = Math.floor(services.clock.now() / 1000);
  const token = writeToken(feedback.secret, id, { revision: revision.number, second, requestId });
  return { ...headers, [FEEDBACK_HEADER]: token };
}
