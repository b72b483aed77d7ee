/** The tables of what clients report, and of the traffic that follows it. */
import type { ColumnType } from 'kysely';
import type { MaybeWhen, When } from '../columns.js';

export interface FeedbackTables {
  /** What clients reported, by the name under which it is counted once. */
  feedback: {
    endpoint_id: string;
    key: string;
    metric: string;
    revision: number;
    value: number;
    /** When it happened, as the client says. */
    at: When;
    reported_at: When;
  };
  /** Sums of what clients reported, by the minute of the report. */
  feedback_sums: {
    endpoint_id: string;
    revision: number;
    metric: string;
    minute: Date;
    count: number;
    sum: number;
  };
  /** Endpoints whose traffic follows their rewards. */
  bandits: {
    endpoint_id: string;
    /** When it wants to be looked at next; the reconcile pass finds what is overdue. */
    next_at: Date;
    /** When it last moved traffic. */
    changed_at: MaybeWhen;
    reason: ColumnType<string, string | undefined, string>;
  };
}
