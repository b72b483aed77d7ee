import type { DropReason, PayloadRecord } from '../../core/payload-log/record.js';

/** Where the records of one endpoint go. Takes all that it is given; who gives it bounds how much that is. */
export interface Sink {
  add(records: readonly PayloadRecord[]): void;
  /** Called a few times a second: does what has become due. */
  tick(): void;
  /** Nothing waits here or is under way. */
  readonly idle: boolean;
  /** Writes what there is, at once. Gives up, and counts as dropped, what is not written when the signal aborts. */
  close(signal: AbortSignal): Promise<void>;
}

/** Hears what became of records: their memory is free, sooner or later they are written or given up. */
export interface SinkReport {
  freed(bytes: number): void;
  written(count: number): void;
  dropped(count: number, reason: DropReason): void;
}

/** Tries so often, with growing waits between, before it gives up. */
export const MAX_ATTEMPTS = 5;

/** The wait after the `failures`th failure (from 1), in milliseconds; `random` in [0, 1) spreads it over its upper half. */
export function retryDelayMs(failures: number, random: number): number {
  const full = Math.min(10_000, 250 * 2 ** (failures - 1));
  return full / 2 + (full / 2) * random;
}
