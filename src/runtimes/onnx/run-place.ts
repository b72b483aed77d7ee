/** Whether a run leaves the thread that answers requests: decided by what runs took. Pure. */

/** A run of up to this long may hold up whatever else the process does. */
const PATIENCE_MS = 2;
/** With several instances, runs that take longer than the way to another thread and back are worth it. */
const SEVERAL_PATIENCE_MS = 0.1;
/** Time over the limit, in limits, after which runs leave the thread. */
const DEBT_LIMITS = 25;
/** A request with more elements than so many times the largest that was quick is not expected to be quick, too. */
const GROWTH = 4;

/**
 * Learns from the runs of one model. Going to another thread costs more than a small model's whole inference, and staying
 * holds up everybody while a large one computes. The time by which runs are over the limit adds up, and quick ones pay it
 * back: so a slow run among many is forgiven, a model that is slow leaves after a few runs, and comes back when it is not.
 */
export class RunPlace {
  private readonly limitMs: number;
  private debtMs = 0;
  private slow = false;
  private quickElements = -1;

  constructor(instances: number) {
    this.limitMs = instances > 1 ? SEVERAL_PATIENCE_MS : PATIENCE_MS;
  }

  /** Whether the next run, of inputs with so many elements, is to leave the thread. The first one always is. */
  leaves(elements: number): boolean {
    return this.slow || elements > this.quickElements;
  }

  /** Notes what a run took. */
  ran(elements: number, ms: number): void {
    if (ms <= this.limitMs && elements * GROWTH > this.quickElements) this.quickElements = elements * GROWTH;
    const most = DEBT_LIMITS * this.limitMs;
    this.debtMs = Math.min(most, Math.max(0, this.debtMs + ms - this.limitMs));
    if (this.debtMs === most) this.slow = true;
    else if (this.debtMs === 0) this.slow = false;
  }
}
