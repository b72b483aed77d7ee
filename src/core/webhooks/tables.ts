/** The tables of who is told of what, and of what was sent. */
import type { ColumnType, Generated } from 'kysely';
import type { MaybeJson, MaybeWhen, When } from '../columns.js';
import type { WebhookFormat } from './cloud-event.js';
import type { DeliveryState } from './delivery-state.js';

export interface WebhookTables {
  webhook_subscriptions: {
    id: string;
    project: string;
    url: string;
    /** Patterns of kinds. */
    kinds: string[];
    format: WebhookFormat;
    enabled: boolean;
    /** Why it is not enabled, or what became of the last try. */
    reason: ColumnType<string, string | undefined, string>;
    /** Events up to this one have become deliveries, where they are wanted. */
    cursor: number;
    /** Counts the workers that took it; a write of one that was given up names an older count. */
    lease: Generated<number>;
    leased_until: When;
    due_at: When;
    created_at: When;
  };
  webhook_secrets: { project: string; secret: string; created_at: When };
  webhook_deliveries: {
    id: string;
    project: string;
    /** What it tells of, such as `prediction/pr_…`. */
    subject: string;
    url: string;
    body: string;
    state: ColumnType<DeliveryState, DeliveryState | undefined, DeliveryState>;
    attempt: Generated<number>;
    /** Of the last answer. */
    status: number | null;
    reason: ColumnType<string, string | undefined, string>;
    created_at: When;
    ended_at: MaybeWhen;
    due_at: When;
    look_at: Date;
    /** Of an event: who subscribed to it, and its place among the events. */
    subscription_id: ColumnType<string | null, string | null | undefined, string | null>;
    seq: ColumnType<number | null, number | null | undefined, number | null>;
    /** Beside those that every webhook has. */
    headers: MaybeJson<Record<string, string>>;
    give_up_at: MaybeWhen;
  };
}
