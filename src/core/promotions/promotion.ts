import type { Gate } from './gate.js';

/**
 * A promotion takes one model version to one endpoint: `gating` while its gates are checked, `awaiting_approval` while
 * people are asked, `rolling` while its rollout is under way, then an end that says why.
 */
export const PROMOTION_STATES = [
  'pending',
  'gating',
  'awaiting_approval',
  'rolling',
  'promoted',
  'rejected',
  'rolled_back',
  'aborted',
  'failed',
  'expired',
  'superseded',
] as const;

export type PromotionState = (typeof PROMOTION_STATES)[number];

/** Where a promotion still has something before it. */
export const UNDER_WAY: ReadonlySet<PromotionState> = new Set(['pending', 'gating', 'awaiting_approval', 'rolling']);

/** What opened a promotion. */
export type Trigger =
  | { readonly on: 'request' }
  | { readonly on: 'job_succeeded'; readonly job: string }
  | { readonly on: 'alias_moved'; readonly alias: string }
  | { readonly on: 'hook'; readonly hook: string; readonly name: string }
  | { readonly on: 'schedule'; readonly cron: string; readonly occurrence: string };

/** What a person says to a promotion. */
export type Vote = 'approve' | 'reject';

export interface GateResult {
  readonly gate: Gate['kind'] | 'load';
  readonly passed: boolean;
  readonly reason: string;
  /** The numbers and digests that it was decided on. */
  readonly evidence: Readonly<Record<string, unknown>>;
  readonly at: string;
}

/** A promotion as the record tells of it. Times are texts, as they are in JSON. */
export interface PromotionRecord {
  readonly id: string;
  readonly trigger: Trigger;
  readonly requestedBy: string | null;
  readonly state: PromotionState;
  readonly reason: string;
  readonly champion: number | null;
  readonly gates: readonly GateResult[];
  readonly approvals: readonly {
    readonly round: number;
    readonly actor: string;
    readonly vote: Vote;
    readonly comment: string;
    readonly at: string;
  }[];
}
