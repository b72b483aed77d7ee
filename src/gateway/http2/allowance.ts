/**
 * How much a peer may do of what costs us and serves no one: a bucket that refills with time, and with useful work. The
 * clock is looked at only when the bucket is empty.
 */
export class Allowance {
  private left: number;
  private filledAt = performance.now();

  constructor(
    private readonly burst: number,
    private readonly perSecond: number,
  ) {
    this.left = burst;
  }

  /** Takes one; false when there is none left. */
  spend(): boolean {
    if (this.left <= 0) this.refill();
    this.left--;
    return this.left >= 0;
  }

  /** Gives back, up to the burst. */
  earn(amount: number): void {
    this.left = Math.min(this.burst, this.left + amount);
  }

  private refill(): void {
    const now = performance.now();
    const gained = Math.floor(((now - this.filledAt) / 1000) * this.perSecond);
    if (gained < 1) return;
    this.filledAt = now;
    this.left = Math.min(this.burst, Math.max(0, this.left) + gained);
  }
}
