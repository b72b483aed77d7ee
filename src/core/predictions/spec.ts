/** An asynchronous prediction: a request that is answered later, at an address of its own. */
import type { WorkState } from '../work-state.js';

/** What is kept of a request beside its body: as much as it takes to make it again. */
export interface StoredRequest {
  /** The request target as it was sent: path and query. */
  readonly path: string;
  /** Headers that say what the body is and where it goes, names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  /** Whether it may run twice when it is not known what became of it. */
  readonly idempotent: boolean;
}

/** Where a prediction's state and, in the end, its answer are found. */
export function locationOf(id: string): string {
  return `/v2/predictions/${id}`;
}

/** What is said of a prediction that has no answer yet. */
export interface PredictionSummary {
  readonly id: string;
  readonly state: WorkState;
  readonly location: string;
}

export function summaryOf({ id, state }: { readonly id: string; readonly state: WorkState }): PredictionSummary {
  return { id, state, location: locationOf(id) };
}

/** Channel on which changes of state are told; the payload is the id. */
export const PREDICTIONS_CHANNEL = 'sluice_predictions';
