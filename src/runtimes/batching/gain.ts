/** Weight of a new measurement. */
const WEIGHT = 1 / 8;
/** A batch must cost a row at most this share of what it costs alone: less is not worth that requests wait for one another. */
const WORTH = 0.9;
/** A run shorter than this keeps nobody waiting, and joining saves what surrounds it. */
const SHORT_MS = 0.5;
/** Batches that must have been measured before they are given up. */
const ENOUGH = 8;
/** So many requests run alone before batches are tried again. */
const RETRY_AFTER = 1000;

/** Learns from what runs took whether joining rows makes them cheaper on this model and machine. */
export class BatchGain {
  private alone: number | undefined;
  private joined: number | undefined;
  private batches = 0;
  private refused = 0;

  /** Whether requests that wait should be joined. Asked once for each that could be. */
  get pays(): boolean {
    const { alone, joined } = this;
    if (alone === undefined || joined === undefined || alone < SHORT_MS || this.batches < ENOUGH) return true;
    if (joined <= WORTH * alone) return true;
    if (++this.refused < RETRY_AFTER) return false;
    this.refused = 0;
    this.batches = 0;
    this.joined = undefined;
    return true;
  }

  /** Notes a run: of how many rows, for how many requests, how long. */
  record(rows: number, requests: number, ms: number): void {
    if (rows === 0) return;
    if (requests > 1) {
      this.batches++;
      this.joined = mean(this.joined, ms / rows);
    } else if (rows === 1) this.alone = mean(this.alone, ms);
  }
}

function mean(before: number | undefined, now: number): number {
  return before === undefined ? now : before + (now - before) * WEIGHT;
}
