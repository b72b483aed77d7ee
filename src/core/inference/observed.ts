/** Sums of what was observed of a revision's answers. */

/** What was observed in a window. */
export interface ObservedStats {
  readonly count: number;
  /** Of values from 0 to 1. */
  readonly sum: number;
  readonly buckets: readonly number[];
}

export const NOTHING_OBSERVED: ObservedStats = { count: 0, sum: 0, buckets: [] };

/** The sum of two windows, or of two gateways' observations. */
export function addObserved(a: ObservedStats, b: ObservedStats): ObservedStats {
  const [longer, shorter] = a.buckets.length >= b.buckets.length ? [a.buckets, b.buckets] : [b.buckets, a.buckets];
  return {
    count: a.count + b.count,
    sum: a.sum + b.sum,
    buckets: longer.map((count, at) => count + (shorter[at] ?? 0)),
  };
}
