import type { Answer } from './load.js';

/** Settings in turn, each with revisions of its own: 1 and 2, then 3 and 4, then 5 and 6, then 1 and 2 again. */
export const SETTINGS = [
  [1, 2],
  [3, 4],
  [5, 6],
] as const;

/** A change that was made: moments of `performance.now()`. */
export interface Change {
  /** Which of the settings it brought. */
  readonly setting: number;
  /** Before its transaction began. */
  readonly began: number;
  /** When Postgres wrote it, which is before its commit. */
  readonly written: number;
  /** When its commit was known of. */
  readonly done: number;
}

export interface Judgement {
  /** Milliseconds from the begin of each change to the first answer that follows it. */
  readonly fromBegin: number[];
  /** The same from when Postgres wrote it. */
  readonly fromWrite: number[];
  /** The same from the end of its commit, 0 where the answer was faster than the news of the commit. */
  readonly fromCommit: number[];
  /** Answers of a setting that was neither in force nor on its way between the request and its answer. */
  readonly strays: number;
  /** Requests that were made after a gateway answered by a newer setting and got an older one. */
  readonly back: number;
}

/** What one gateway's answers say of the changes. The first change is the setting that was in force from the beginning. */
export function judge(changes: readonly Change[], answers: readonly Answer[]): Judgement {
  const fromBegin: number[] = [];
  const fromWrite: number[] = [];
  const fromCommit: number[] = [];
  let [strays, back] = [0, 0];
  const sorted = [...answers].sort((a, b) => a.came - b.came);
  /** When each setting, counted from the first, was first seen. */
  const seen: number[] = [0];
  for (const answer of sorted) {
    const setting = settingOf(answer.revision);
    // what was on its way when it was asked, or came meanwhile; of equal settings the older one is the worse news
    let follows = Math.max(0, lastBegun(changes, answer.asked) - 1);
    const last = lastBegun(changes, answer.came);
    while (follows <= last && changes[follows]?.setting !== setting) follows++;
    if (follows > last) {
      strays++;
      continue;
    }
    const change = changes[follows];
    if (change && seen[follows] === undefined) {
      seen[follows] = answer.came;
      fromBegin.push(answer.came - change.began);
      fromWrite.push(answer.came - change.written);
      fromCommit.push(Math.max(0, answer.came - change.done));
    }
    const newer = seen[follows + 1];
    if (newer !== undefined && newer < answer.asked) back++;
  }
  return { fromBegin, fromWrite, fromCommit, strays, back };
}

/** The place of the last change that had begun at a moment. */
function lastBegun(changes: readonly Change[], moment: number): number {
  let [low, high] = [0, changes.length - 1];
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if ((changes[middle]?.began ?? 0) <= moment) low = middle;
    else high = middle - 1;
  }
  return low;
}

export function settingOf(revision: number): number {
  return SETTINGS.findIndex((revisions) => revisions.some((one) => one === revision));
}

export function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil(q * sorted.length) - 1)] ?? Number.NaN;
}
