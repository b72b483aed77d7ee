/**
 * A cache that several gateways share. It may be slow or away at any time: then it is as if it were empty, and nobody
 * waits for it longer than its budget.
 */
export interface SharedCache {
  /** The value and how long it is still good, in milliseconds; undefined when it is not there or not known in time. */
  get(key: string): Promise<{ readonly value: Buffer; readonly ttlMs: number } | undefined>;
  /** Keeps a value, if it can. */
  set(key: string, value: Buffer, ttlMs: number): void;
}
