/** Milliseconds as the whole second that they lie in. */
const secondOf = (ms: number) => Math.floor(ms / 1000);

/**
 * The average of what was recorded over the last `windowSec` seconds, in buckets of one second: Knative's linear
 * `TimedFloat64Buckets` (pkg/autoscaler/aggregation/bucketing.go), with its order of additions, so that the same writes
 * give the same floating-point number. Values recorded within one second add up. Not a pure value: it is a ring.
 */
export class BucketWindow {
  private readonly buckets: Float64Array;
  private total = 0;
  /** Seconds since the epoch; undefined before the first write. */
  private firstWriteSec: number | undefined;
  private lastWriteSec = Number.NEGATIVE_INFINITY;

  /** `windowSec` whole seconds, at least 1. */
  constructor(readonly windowSec: number) {
    this.buckets = new Float64Array(windowSec);
  }

  /**
   * Adds `value` to the bucket of `nowMs`. A second that was skipped counts as 0; a silence of a whole window starts the
   * window anew; a late value goes to its own second, or is dropped when that is a window ago.
   */
  record(nowMs: number, value: number): void {
    const sec = secondOf(nowMs);
    if (sec !== this.lastWriteSec) {
      if (sec + this.windowSec <= this.lastWriteSec) return;
      if (this.firstWriteSec === undefined || this.firstWriteSec > sec) this.firstWriteSec = sec;
      if (sec > this.lastWriteSec) this.moveTo(sec);
    }
    this.buckets[this.indexOf(sec)] = this.at(sec) + value;
    this.total += value;
  }

  /**
   * Sum over the window divided by the seconds of it that can have data: those since the first write, less those since
   * the last one. Rounded to six decimals; 0 when there was no write for a window.
   */
  average(nowMs: number): number {
    const sec = secondOf(nowMs);
    const silentSec = sec - this.lastWriteSec;
    if (silentSec >= this.windowSec || this.firstWriteSec === undefined) return 0;
    const sinceFirst = this.lastWriteSec - this.firstWriteSec + 1;
    if (silentSec <= 0) return roundToMicros(this.total / Math.min(sinceFirst, this.windowSec));
    let sum = this.total;
    for (let gone = this.lastWriteSec + 1; gone <= sec; gone++) sum -= this.at(gone);
    return roundToMicros(sum / Math.min(sinceFirst, this.windowSec - silentSec));
  }

  /** Whether nothing was recorded for longer than the window: there is nothing to decide on. */
  isEmpty(nowMs: number): boolean {
    return secondOf(nowMs) - this.lastWriteSec > this.windowSec;
  }

  private moveTo(sec: number): void {
    if (sec - this.lastWriteSec >= this.windowSec) {
      this.firstWriteSec = sec;
      this.buckets.fill(0);
      this.total = 0;
    } else {
      for (let skipped = this.lastWriteSec + 1; skipped <= sec; skipped++) {
        this.total -= this.at(skipped);
        this.buckets[this.indexOf(skipped)] = 0;
      }
    }
    this.lastWriteSec = sec;
  }

  private indexOf(sec: number): number {
    const rest = sec % this.windowSec;
    return rest < 0 ? rest + this.windowSec : rest;
  }

  private at(sec: number): number {
    return this.buckets[this.indexOf(sec)] ?? 0;
  }
}

/** Six decimals, half away from zero, as Go's `math.Round` does. */
function roundToMicros(value: number): number {
  return (Math.sign(value) * Math.round(Math.abs(value) * 1e6)) / 1e6;
}

/** One value that may still be the highest of its window; `slot` counts whole ticks since the epoch. */
export interface MaxEntry {
  readonly slot: number;
  readonly value: number;
}

/**
 * The entries after `value` was seen at `nowMs`, highest and oldest first, so that the first one is the highest value of
 * the last `ceil(durationSec / tickSec)` ticks. Knative's `max.TimeWindow` (pkg/autoscaler/aggregation/max), as a pure
 * function; time must not go back. Two values in one tick: the higher counts.
 */
export function recordMax(
  entries: readonly MaxEntry[],
  nowMs: number,
  value: number,
  durationSec: number,
  tickSec: number,
): readonly MaxEntry[] {
  const slot = Math.floor(secondOf(nowMs) / tickSec);
  const slots = Math.ceil(durationSec / tickSec);
  const kept = entries.filter((entry) => entry.value > value && slot - entry.slot < slots);
  const last = kept.at(-1);
  // a higher value of this very tick stays and stands for both
  return last !== undefined && last.slot === slot ? kept : [...kept, { slot, value }];
}
