/** Columns and a table of what a rollout's analysis keeps. */
import type { ColumnType } from 'kysely';
import type { MaybeJson } from '../columns.js';
import type { Measured } from './analysis/asked.js';
import type { Judgement } from './analysis/verdict.js';
import type { Comparison } from './comparison.js';

/** Of a rollout. */
export interface AnalysisColumns {
  /** What was fixed when the comparison began, and sums of what is older than the counts that are kept. */
  comparison: MaybeJson<Comparison>;
  /** The last verdict, with its numbers. */
  analysis: MaybeJson<Judgement>;
}

/** Of metrics that are asked elsewhere. */
export interface MeasurementsTable {
  rollout_id: string;
  /** Its name in the plan. */
  metric: string;
  /** Nobody measures it again before. */
  due_at: Date;
  measured: ColumnType<Partial<Measured>, string | undefined, string>;
}
