/**
 * Mann-Whitney's U test of two samples with the Hodges-Lehmann estimate of the shift and its confidence interval, as Kayenta
 * and R's wilcox.test compute them: z(μ) = (W(μ) - mn/2 ± 0.5) / σ with σ corrected for ties, and the interval where |z| < z_α/2.
 */
export interface Shift {
  readonly low: number;
  readonly estimate: number;
  readonly high: number;
}

/** The shift of `a` above `b`; undefined where all values are the same. `z` is the normal quantile of the confidence. */
export function shiftOf(a: readonly number[], b: readonly number[], z: number): Shift | undefined {
  const [m, n] = [a.length, b.length];
  const differences = Float64Array.from(a.flatMap((x) => b.map((y) => x - y))).sort();
  const least = differences[0] as number;
  const most = differences.at(-1) as number;
  if (least === most) return undefined;
  const sigma = Math.sqrt(((m * n) / 12) * (m + n + 1 - (tiesOf(a) + tiesOf(b)) / ((m + n) * (m + n - 1))));
  const zAt = (shift: number) => {
    const w = above(differences, shift) - (m * n) / 2;
    return (w - 0.5 * Math.sign(w)) / sigma;
  };
  // z falls as the shift grows
  const root = (target: number) => {
    let [low, high] = [least - 1e-9, most + 1e-9];
    for (let i = 0; i < 60; i++) {
      const middle = (low + high) / 2;
      if (zAt(middle) > target) low = middle;
      else high = middle;
    }
    return (low + high) / 2;
  };
  return { low: root(z), estimate: root(0), high: root(-z) };
}

/** How many of sorted values are above one; those that equal it count by half. */
function above(sorted: Float64Array, value: number): number {
  const first = lowerBound(sorted, (x) => x >= value);
  const behind = lowerBound(sorted, (x) => x > value);
  return sorted.length - behind + (behind - first) / 2;
}

function lowerBound(sorted: Float64Array, holds: (value: number) => boolean): number {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (holds(sorted[middle] as number)) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** Σ (t³ - t) over the groups of equal values. */
function tiesOf(values: readonly number[]): number {
  const counts = new Map<number, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return [...counts.values()].reduce((sum, t) => sum + (t ** 3 - t), 0);
}
