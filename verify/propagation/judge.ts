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
  /** Answers of a setting that was neither the one before nor the one after the change at hand. */
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
  let at = 0;
  for (const answer of sorted) {
    const setting = settingOf(answer.revision);
    while (at + 1 < changes.length && (changes[at + 1]?.began ?? 0) <= answer.came) at++;
    // of three settings in turn, the one of the answer says which change it follows, if it may only be the last or the one before
    const follows = setting === changes[at]?.setting ? at : setting === changes[at - 1]?.setting ? at - 1 : undefined;
    if (follows === undefined) {
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

function settingOf(revision: number): number {
  return SETTINGS.findIndex((revisions) => revisions.some((one) => one === revision));
}

export function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil(q * sorted.length) - 1)] ?? Number.NaN;
}
