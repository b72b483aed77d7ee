/** How long answers took of late, by revision: for hedges after a quantile. Kept only for endpoints that ask for that. */

/** Bounds of the buckets grow by this much, from 0.1 ms. */
const GROWTH = 1.2;
const FIRST_MS = 0.1;
const BUCKETS = 96;
/** With fewer answers there is no quantile to speak of. */
const ENOUGH = 100;
/** Old answers count half as much each time so many came. */
const WINDOW = 1000;
const MAX_KEYS = 10_000;

interface Times {
  readonly counts: Float64Array;
  sum: number;
}

export class AnswerTimes {
  private readonly byKey = new Map<string, Times>();

  record(key: string, ms: number): void {
    let times = this.byKey.get(key);
    if (!times) {
      if (this.byKey.size >= MAX_KEYS) this.byKey.clear();
      times = { counts: new Float64Array(BUCKETS), sum: 0 };
      this.byKey.set(key, times);
    }
    const { counts } = times;
    const at = ms <= FIRST_MS ? 0 : Math.min(BUCKETS - 1, Math.ceil(Math.log(ms / FIRST_MS) / Math.log(GROWTH)));
    counts[at] = (counts[at] as number) + 1;
    if (++times.sum < WINDOW) return;
    times.sum = 0;
    for (let each = 0; each < BUCKETS; each++) {
      counts[each] = (counts[each] as number) / 2;
      times.sum += counts[each] as number;
    }
  }

  /** Within how many milliseconds this share of the answers came; undefined while too few did. */
  quantile(key: string, share: number): number | undefined {
    const times = this.byKey.get(key);
    if (!times || times.sum < ENOUGH) return undefined;
    let left = share * times.sum;
    for (let at = 0; at < BUCKETS; at++) {
      left -= times.counts[at] as number;
      if (left <= 0) return FIRST_MS * GROWTH ** at;
    }
    return FIRST_MS * GROWTH ** BUCKETS;
  }
}
