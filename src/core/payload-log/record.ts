/** One request or answer as the payload log keeps it. */
import type { EndpointRoute, RevisionRoute } from '../inference/route.js';
import type { PayloadSink } from './settings.js';

export interface PayloadRecord {
  /** The request's id; a request and its answer have the same. */
  readonly id: string;
  readonly kind: 'request' | 'response';
  /** When the request came or its answer began, in milliseconds since the epoch. */
  readonly timeMs: number;
  readonly project: string;
  readonly endpoint: string;
  readonly revision: number;
  readonly modelVersion: number;
  /** The tag under which the revision has its traffic, such as `candidate`; `default` without one. */
  readonly target: string;
  /** HTTP status of an answer. */
  readonly status?: number | undefined;
  /** From the request's sending to the beginning of its answer. */
  readonly latencyMs?: number | undefined;
  readonly contentType?: string | undefined;
  /** How many bytes at the beginning of the data are JSON, the others being binary tensors; undefined for plain bodies. */
  readonly jsonBytes?: number | undefined;
  /** The headers of the request that the endpoint's settings name. */
  readonly headers: Readonly<Record<string, string>>;
  /** W3C `traceparent` of the one who asked. */
  readonly traceParent?: string | undefined;
  /** The body, as it travelled but for a compression. */
  readonly data: Uint8Array;
}

/** The part of a record that all records of one prediction share. */
export type PredictionFacts = Pick<
  PayloadRecord,
  'id' | 'project' | 'endpoint' | 'revision' | 'modelVersion' | 'target' | 'headers' | 'traceParent'
>;

/** Where a record goes. Equal destinations share files and batches. */
export interface Destination {
  readonly project: string;
  readonly endpoint: string;
  readonly sink: PayloadSink;
}

/** Why a record was not written. */
export type DropReason = 'buffer_full' | 'too_large' | 'sink_failed' | 'stopped';

export const NO_TAG = 'default';

/** The tag of the traffic target that this revision is; `default` where it has none. */
export function targetOf(endpoint: EndpointRoute, revision: RevisionRoute): string {
  return endpoint.targets.find((target) => target.revision.number === revision.number)?.tag ?? NO_TAG;
}

/** The trace that a `traceparent` belongs to. */
export function traceIdOf(traceParent: string): string {
  return traceParent.slice(3, 35);
}
