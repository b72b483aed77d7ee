/** Kinds of columns, and columns that several tables share. */
import type { ColumnType, Generated } from 'kysely';
import type { WorkState } from './work-state.js';

export type Json<T> = ColumnType<T, string, string>;
export type MaybeJson<T> = ColumnType<T | null, string | null | undefined, string | null>;
export type When = ColumnType<Date, Date | undefined, Date>;
export type MaybeWhen = ColumnType<Date | null, Date | null | undefined, Date | null>;

/** What all work has that one worker holds at a time; see ownership.ts. */
export interface WorkColumns {
  id: string;
  state: ColumnType<WorkState, WorkState | undefined, WorkState>;
  /** Counts the claims. */
  attempt: Generated<number>;
  /** Attempts that ended with their worker since it last got anywhere. */
  lost_in_a_row: Generated<number>;
  owner: string | null;
  heartbeat_at: MaybeWhen;
  cancel_requested_at: MaybeWhen;
  reason: ColumnType<string, string | undefined, string>;
  created_at: When;
  started_at: MaybeWhen;
  ended_at: MaybeWhen;
  /** Not to be begun before. */
  due_at: When;
  /** The reconcile pass enqueues what still waits then. */
  look_at: Date;
  /** It fails if it has not ended by then. */
  deadline_at: Date;
}
