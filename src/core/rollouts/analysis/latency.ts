/** Latencies as counts per bucket, and what counts as slow. */

/** Upper bounds of the latency buckets, in milliseconds; the last bucket is open. Fine enough for quantiles to 25 %. */
export const LATENCY_BOUNDS_MS: readonly number[] = [
  0.25, 0.5, 0.75, 1, 1.5, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048,
  4096, 8192, 16384, 32768,
];

/** What one revision did in a window. */
export interface ArmStats {
  readonly requests: number;
  /** Answers of 5xx, and those that never came. A client's own mistake (4xx) is no error of the revision. */
  readonly errors: number;
  /** Counts per bucket of LATENCY_BOUNDS_MS and one more beyond the last bound. */
  readonly latency: readonly number[];
}

export const NO_STATS: ArmStats = { requests: 0, errors: 0, latency: [] };

/** What counts as slow, in milliseconds: `factor` times a quantile of these requests, rounded up to a bucket bound. */
export function slowBound(stats: ArmStats, factor: number, q = 0.95): number {
  const limit = quantile(stats, q) * factor;
  return LATENCY_BOUNDS_MS.find((bound) => bound >= limit) ?? LATENCY_BOUNDS_MS.at(-1) ?? limit;
}

/** Requests slower than a bucket bound. */
export function slowerThan(stats: ArmStats, boundMs: number): number {
  const limit = LATENCY_BOUNDS_MS.indexOf(boundMs);
  return stats.latency.reduce((sum, count, at) => (at > limit ? sum + count : sum), 0);
}

/** The bucket that a latency falls into. */
export function latencyBucket(ms: number): number {
  let low = 0;
  let high = LATENCY_BOUNDS_MS.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (ms <= (LATENCY_BOUNDS_MS[middle] as number)) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** The sum of several windows or several gateways' counts. */
export function addStats(parts: readonly ArmStats[]): ArmStats {
  const latency = new Array<number>(LATENCY_BOUNDS_MS.length + 1).fill(0);
  let requests = 0;
  let errors = 0;
  for (const part of parts) {
    requests += part.requests;
    errors += part.errors;
    part.latency.forEach((count, at) => {
      latency[at] = (latency[at] ?? 0) + count;
    });
  }
  return { requests, errors, latency };
}

/** A quantile of the latency in milliseconds, interpolated within its bucket; NaN without requests. */
export function quantile(stats: ArmStats, q: number): number {
  const total = stats.latency.reduce((sum, count) => sum + count, 0);
  if (total === 0) return Number.NaN;
  let left = q * total;
  for (let at = 0; at < stats.latency.length; at++) {
    const count = stats.latency[at] ?? 0;
    if (left <= count && count > 0) {
      const low = LATENCY_BOUNDS_MS[at - 1] ?? 0;
      const high = LATENCY_BOUNDS_MS[at] ?? low * 2;
      return low + (high - low) * (left / count);
    }
    left -= count;
  }
  return LATENCY_BOUNDS_MS.at(-1) ?? Number.NaN;
}
