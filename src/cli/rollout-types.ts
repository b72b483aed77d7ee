/** What the API answers of promotions and rollouts. */
import type { Said } from './api-types.js';

export interface Promotion {
  readonly id: string;
  readonly endpoint: string;
  readonly model: string;
  readonly version: number;
  readonly trigger: {
    readonly on: string;
    readonly job?: string;
    readonly alias?: string;
    readonly name?: string;
    readonly cron?: string;
  };
  readonly requestedBy: string | null;
  readonly state: string;
  readonly gates: readonly { readonly gate: string; readonly passed: boolean; readonly reason: string }[];
  readonly champion: number | null;
  readonly approval: { readonly kind: string; readonly by?: readonly string[] } | null;
  readonly expiresAt: string | null;
  /** Of one alone, not of those in lists. */
  readonly approvals?: readonly Said[];
  readonly reason: string;
  readonly rolloutId: string | null;
  readonly createdAt: string;
  readonly endedAt: string | null;
}

export interface ArmStats {
  readonly requests: number;
  readonly errors: number;
  readonly p50Ms?: number | null;
  readonly p95Ms?: number | null;
  readonly p99Ms?: number | null;
}

export interface RolloutSummary {
  readonly id: string;
  readonly endpoint: string;
  readonly candidate: number;
  readonly stable: number;
  readonly state: string;
  readonly step: number;
  readonly kind: string;
  /** In words. */
  readonly steps: readonly string[];
  readonly reason: string;
  readonly createdAt: string;
  readonly endedAt: string | null;
}

export interface Rollout extends RolloutSummary {
  readonly events: readonly { readonly at: string; readonly kind: string; readonly message: string }[];
  readonly stats?: { readonly stable: ArmStats; readonly candidate: ArmStats };
  readonly analysis?: {
    readonly kind: string;
    readonly metrics: readonly { readonly metric: string; readonly kind: string; readonly words: string }[];
  } | null;
}

export interface Hook {
  readonly id: string;
  readonly name: string;
  readonly hint: string;
  readonly createdAt: string;
  readonly usedAt: string | null;
  readonly uses: number;
}
