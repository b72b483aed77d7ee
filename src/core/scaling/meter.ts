import { AppError } from '../../errors.js';

/** Whole seconds in a row with the same average. */
interface Run {
  readonly firstSec: number;
  readonly count: number;
  readonly average: number;
}

/** Seconds that a drain gives at most: no window is longer. */
const LONGEST_SEC = 3600;

/**
 * How many requests were in flight or waiting, on average over each second of the clock: the integral over time of what
 * `change` counts, so that a request of 100 ms weighs a tenth. What Knative's queue-proxy and activator report
 * (`RequestStats`), aligned to whole seconds. Constant work per event; a second in progress is not given yet.
 */
export class ConcurrencyMeter {
  private count = 0;
  private atMs: number;
  /** Start of the part of the current second that is measured, ms. */
  private fromMs: number;
  /** Requests times milliseconds since `fromMs`. */
  private area = 0;
  private runs: Run[] = [];

  constructor(nowMs: number) {
    this.atMs = nowMs;
    this.fromMs = nowMs;
  }

  /** Requests in flight or waiting now. */
  get concurrency(): number {
    return this.count;
  }

  /** A request came (+1) or is gone (-1). A clock that goes back counts as standing still. */
  change(nowMs: number, delta: number): void {
    if (this.count + delta < 0) {
      throw new AppError('internal', `${-delta} requests ended where ${this.count} were in flight`);
    }
    this.advance(nowMs);
    this.count += delta;
  }

  /** Gives every finished second once, oldest first, with its first millisecond. To be called about each second. */
  drain(nowMs: number, record: (atMs: number, concurrency: number) => void): void {
    this.advance(nowMs);
    const { runs } = this;
    this.runs = [];
    const oldest = Math.floor(nowMs / 1000) - LONGEST_SEC;
    for (const { firstSec, count, average } of runs) {
      for (let sec = Math.max(firstSec, oldest); sec < firstSec + count; sec++) record(sec * 1000, average);
    }
  }

  private advance(nowMs: number): void {
    if (nowMs <= this.atMs) return;
    const sec = Math.floor(this.atMs / 1000);
    const endMs = (sec + 1) * 1000;
    if (nowMs >= endMs) {
      const area = this.area + this.count * (endMs - this.atMs);
      this.runs.push({ firstSec: sec, count: 1, average: area / (endMs - this.fromMs) });
      const skipped = Math.floor(nowMs / 1000) - sec - 1;
      if (skipped > 0) this.runs.push({ firstSec: sec + 1, count: skipped, average: this.count });
      this.fromMs = Math.floor(nowMs / 1000) * 1000;
      this.atMs = this.fromMs;
      this.area = 0;
    }
    this.area += this.count * (nowMs - this.atMs);
    this.atMs = nowMs;
  }
}
