import { AppError } from '../../errors.js';
import type { EngineOptions } from '../engine.js';

/** How requests of a model are joined. */
export interface BatchPolicy {
  /** Most rows of a batch; 1 joins nothing. A request with more rows runs alone, whole. */
  readonly maxRows: number;
  /** How long the first request of a batch may wait for more, in milliseconds. 0: a batch is what waits already. */
  readonly delayMs: number;
  /** Sizes that suit the model: where as many rows wait, a batch has the largest of these that they fill. Ascending. */
  readonly preferredRows: readonly number[];
}

export const DEFAULT_POLICY: BatchPolicy = { maxRows: 32, delayMs: 0, preferredRows: [] };

const MAX_ROWS = 65_536;
const MAX_DELAY_MS = 10_000;

/** Reads the load option `batching`; what is left out has its default. */
export function readBatchPolicy(options: EngineOptions): BatchPolicy {
  const given = options.batching ?? {};
  if (typeof given !== 'object' || Array.isArray(given)) throw bad('batching', given, 'an object');
  const { maxRows, delayMs, preferredRows } = { ...DEFAULT_POLICY, ...given };
  if (!isCount(maxRows)) throw bad('batching.maxRows', maxRows, `an integer from 1 to ${MAX_ROWS}`);
  if (typeof delayMs !== 'number' || !(delayMs >= 0 && delayMs <= MAX_DELAY_MS))
    throw bad('batching.delayMs', delayMs, `a number from 0 to ${MAX_DELAY_MS}`);
  if (!Array.isArray(preferredRows) || !preferredRows.every((rows) => isCount(rows) && rows <= maxRows))
    throw bad('batching.preferredRows', preferredRows, 'integers from 1 to maxRows');
  return { maxRows, delayMs, preferredRows: [...preferredRows].sort((a, b) => a - b) };
}

/** How many of the rows that wait make the next batch, when they need not all go. */
export function batchRows(policy: BatchPolicy, waiting: number): number {
  const most = Math.min(policy.maxRows, waiting);
  let best = most;
  for (const rows of policy.preferredRows) if (rows <= most) best = rows;
  return best;
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= MAX_ROWS;
}

function bad(name: string, value: unknown, expected: string): AppError {
  return new AppError('invalid', `option ${name} is ${JSON.stringify(value)}, expected ${expected}`);
}
