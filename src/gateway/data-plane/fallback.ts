/** What happens to a request that its revision cannot serve: another revision of the endpoint answers, and says so. */
import { mayHaveBegun } from '../../core/inference/forward.js';
import type { RevisionRoute } from '../../core/inference/route.js';
import type { AppError } from '../../errors.js';
import type { RevisionMeter } from './meters.js';
import type { Destination, Plane } from './plane.js';

/** Says which revision was chosen and could not serve. */
const FALLBACK_HEADER = 'sluice-fallback-from';

/** Where a request goes that failed so; undefined: nowhere, the failure is the answer. */
export function elsewhere(destination: Destination, error: AppError, idempotent: boolean): Destination | undefined {
  const { endpoint, fallback, pinned } = destination;
  if (!fallback) return undefined;
  const { code } = error;
  if (code !== 'not_ready' && code !== 'overloaded' && code !== 'upstream_failed') return undefined;
  // what must not run twice goes on only when it certainly did not begin
  if (!idempotent && mayHaveBegun(error)) return undefined;
  return { endpoint, revision: fallback, pinned };
}

/** The meter of the revision that answers in the place of another one. */
export function standIn(plane: Plane, answering: RevisionRoute, from: RevisionRoute): RevisionMeter {
  const meter = plane.meterOf(answering);
  const said = { [FALLBACK_HEADER]: String(from.number) };
  return {
    ...meter,
    own: Object.freeze({ ...meter.own, ...said }),
    headersOf: (replica) => ({ ...meter.headersOf(replica), ...said }),
  };
}
