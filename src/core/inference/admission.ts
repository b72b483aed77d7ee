/**
 * How many requests one revision takes at once when it can have no more replicas: as many as it answers without a standing
 * queue. A queue that empties now and then is a burst and costs nobody much; one that does not only adds delay (Nichols and
 * Jacobson, "Controlling Queue Delay", 2012: the least delay of an interval tells the two apart). The bound is cut to what
 * is answered within the allowed delay, and grows slowly while it is reached and nobody waits long. Pure: time is given.
 */
export interface AdmissionOptions {
  /** A standing delay up to this is taken. */
  readonly maxDelayMs: number;
}

/** One answered request. */
export interface Answered {
  readonly arrivedMs: number;
  /** How long it waited before it was worked on, wherever that was. */
  readonly delayMs: number;
  /** How long it was worked on. */
  readonly serviceMs: number;
}

const INTERVAL_MS = 100;
/** A cut is one, however the rate is estimated. */
const LARGEST_SHARE = 0.95;
const GROWTH = 0.05;
/** The bound does not grow when the delay is nearer than this to what is allowed. */
const NEAR = 0.75;
/** Weight of the newest in the average of service times. */
const NEWEST = 0.05;

export class Admission {
  /** Most requests at once. */
  limit = Number.POSITIVE_INFINITY;
  /** On average, and of the fastest request. */
  private serviceMs = 0;
  private leastServiceMs = Number.POSITIVE_INFINITY;
  private leastDelayMs = Number.POSITIVE_INFINITY;
  private intervalStart = 0;
  private intervalEnd = 0;
  private count = 0;
  /** Most requests at once in this interval. */
  private peak = 0;
  /** Requests that came before the last cut say nothing of what it did. */
  private cutAt = Number.NEGATIVE_INFINITY;

  constructor(private readonly options: AdmissionOptions) {}

  /** Whether one more may come. */
  admits(inFlight: number): boolean {
    if (inFlight > this.peak) this.peak = inFlight;
    return inFlight < this.limit;
  }

  /** Replicas came or went: what was learned of the old ones is no bound for the new ones. */
  reset(): void {
    this.limit = Number.POSITIVE_INFINITY;
    this.serviceMs = 0;
    this.leastServiceMs = Number.POSITIVE_INFINITY;
    this.leastDelayMs = Number.POSITIVE_INFINITY;
    this.cutAt = Number.NEGATIVE_INFINITY;
  }

  answered(nowMs: number, { arrivedMs, delayMs, serviceMs }: Answered): void {
    this.serviceMs += (serviceMs - this.serviceMs) * (this.serviceMs === 0 ? 1 : NEWEST);
    this.count++;
    if (serviceMs < this.leastServiceMs) this.leastServiceMs = serviceMs;
    if (arrivedMs >= this.cutAt && delayMs < this.leastDelayMs) this.leastDelayMs = delayMs;
    if (nowMs < this.intervalEnd) return;
    if (Number.isFinite(this.leastDelayMs)) this.look(nowMs);
    this.intervalStart = nowMs;
    this.count = 0;
    // a long request's interval must be one in which several can be answered
    this.intervalEnd = nowMs + Math.max(INTERVAL_MS, 2 * this.serviceMs);
    this.leastDelayMs = Number.POSITIVE_INFINITY;
    this.peak = 0;
  }

  private look(nowMs: number): void {
    // who is next always waits for what is being worked on; batches take longer than one request, and are no reason to wait
    const allowedMs = Math.max(this.options.maxDelayMs, this.leastServiceMs);
    const { leastDelayMs, limit, peak } = this;
    if (leastDelayMs > allowedMs) {
      const perMs = this.count / Math.max(1, nowMs - this.intervalStart);
      const within = Math.floor(perMs * (allowedMs + this.serviceMs));
      this.limit = Math.max(1, Math.min(within, Math.floor(Math.min(limit, peak) * LARGEST_SHARE)));
      this.cutAt = nowMs;
    } else if (peak >= limit && leastDelayMs < allowedMs * NEAR) {
      this.limit = limit + Math.max(1, Math.ceil(limit * GROWTH));
    }
  }
}
