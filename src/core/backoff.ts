/** How long to wait after failures. */
export interface Backoff {
  /** The wait after the first failure, in milliseconds; it doubles with every further one. */
  readonly backoffMs: number;
  readonly maxBackoffMs: number;
}

/**
 * Milliseconds to wait after the `failures`th failure (from 1): exponential, capped, and with jitter: a random point in
 * the upper half, so that what failed together does not come back together. `random` is in [0, 1).
 */
export function backoffMs(policy: Backoff, failures: number, random: number): number {
  const full = Math.min(policy.maxBackoffMs, policy.backoffMs * 2 ** Math.min(30, Math.max(0, failures - 1)));
  return Math.floor(full / 2 + (full / 2) * random);
}
