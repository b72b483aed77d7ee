/** The tables of promotions, as the query builder sees them. */
import type { ColumnType, Generated } from 'kysely';
import type { Json, MaybeJson, MaybeWhen, When } from '../columns.js';
import type { Approval } from './policy.js';
import type { GateResult, PromotionState, Trigger, Vote } from './promotion.js';

export interface PromotionTables {
  promotions: {
    id: string;
    project: string;
    endpoint_id: string;
    endpoint: string;
    model: string;
    version: number;
    job_id: string | null;
    state: PromotionState;
    gates: Json<GateResult[]>;
    reason: string;
    rollout_id: string | null;
    /** How often a worker began with its gates. */
    tries: Generated<number>;
    /** Which worker is taking it through its gates, and when it last said so. */
    owner: string | null;
    heartbeat_at: MaybeWhen;
    created_at: When;
    ended_at: MaybeWhen;
    /** What opened it. */
    trigger: Json<Trigger>;
    /** The person who asked for it, where one did. */
    requested_by: string | null;
    /** The newest version that was served or on its way when it was opened; 0: none. */
    opened_over: number;
    /** The version that its gates were judged against; null: none was served, or they are not through. */
    champion: number | null;
    /** How often the gates had to begin anew because the champion had changed. */
    round: Generated<number>;
    /** The revision that it became. */
    revision: number | null;
    /** Who has to approve, as the policy said when the gates had passed. */
    approval: MaybeJson<Approval>;
    /** Until when it may be approved. */
    expires_at: MaybeWhen;
  };
  promotion_approvals: {
    promotion_id: string;
    /** The promotion's round that it was given in: evidence against another champion needs another approval. */
    round: number;
    actor: string;
    verdict: Vote;
    comment: string;
    at: When;
  };
  promotion_schedules: {
    endpoint_id: string;
    cron: string;
    timezone: string;
    /** `latest` or an alias. */
    version: string;
    /** The occurrence that is due next. */
    next_at: When;
    last_at: MaybeWhen;
    /** What became of the last occurrence, in words. */
    outcome: ColumnType<string, string | undefined, string>;
  };
  promotion_hooks: {
    id: string;
    project: string;
    endpoint_id: string;
    endpoint: string;
    name: string;
    /** Lower-case hex of the token's SHA-256; the token itself is never kept. */
    hash: string;
    hint: string;
    created_by: string;
    created_at: When;
    rotated_at: MaybeWhen;
    used_at: MaybeWhen;
    uses: Generated<number>;
    revoked_at: MaybeWhen;
  };
}
