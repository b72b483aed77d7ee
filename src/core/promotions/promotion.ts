import type { Gate } from './gate.js';

/**
 * A promotion takes one model version to one endpoint: `gating` while its gates are checked, `rolling` while its rollout
 * is under way, then an end that says why.
 */
export type PromotionState =
  | 'pending'
  | 'gating'
  | 'rolling'
  | 'promoted'
  | 'rejected'
  | 'rolled_back'
  | 'aborted'
  | 'failed';

export interface GateResult {
  readonly gate: Gate['kind'] | 'load';
  readonly passed: boolean;
  readonly reason: string;
  /** The numbers and digests that it was decided on. */
  readonly evidence: Readonly<Record<string, unknown>>;
  readonly at: string;
}
