/**
 * How many requests one revision takes at once when it can have no more replicas: as many as it answers without a standing
 * queue. A queue that empties now and then is a burst and costs nobody much; one that does not only adds delay (Nichols and
 * Jacobson, "Controlling Queue Delay", 2012: the least delay of an interval tells the two apart). From then on there is a
 * bound, and it follows the mean delay, because behind a bound of a few requests a queue empties often however many are
 * refused: cut in proportion when the mean is above what is allowed, raised slowly while it is reached and the mean is well
 * below. The bound is a fraction, so that it can settle between one request and two. Pure: time is given.
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
/** A cut is one, however little is over, and no more than this at once. */
const LARGEST_SHARE = 0.95;
const SMALLEST_SHARE = 0.5;
/** Of the bound, beside one request, or less of one the nearer the delay is. */
const GROWTH = 0.05;
/** The bound does not grow when the delay is nearer than this to what is allowed. */
const NEAR = 0.75;
/** Weight of the newest in the average of service times. */
const NEWEST = 0.05;

export class Admission {
  /** Most requests at once; of a fraction, that share of those who find the whole part taken is let in. */
  limit = Number.POSITIVE_INFINITY;
  /** What is left of such shares. */
  private credit = 0;
  /** On average, and of the fastest request. */
  private serviceMs = 0;
  private leastServiceMs = Number.POSITIVE_INFINITY;
  private interval = emptyInterval(0);
  private intervalEnd = 0;
  /** Requests that came before the last change say nothing of what it did. */
  private changedAt = Number.NEGATIVE_INFINITY;

  constructor(private readonly options: AdmissionOptions) {}

  /** Whether one more may come. */
  admits(inFlight: number): boolean {
    const { interval, limit } = this;
    if (inFlight > interval.peak) interval.peak = inFlight;
    const whole = Math.floor(limit);
    if (inFlight < whole) return true;
    if (inFlight > whole) return false;
    this.credit += limit - whole;
    if (this.credit < 1) return false;
    this.credit -= 1;
    return true;
  }

  /** Replicas came or went: what was learned of the old ones is no bound for the new ones. */
  reset(): void {
    this.limit = Number.POSITIVE_INFINITY;
    this.serviceMs = 0;
    this.leastServiceMs = Number.POSITIVE_INFINITY;
    this.interval = emptyInterval(this.interval.start);
    this.changedAt = Number.NEGATIVE_INFINITY;
  }

  answered(nowMs: number, { arrivedMs, delayMs, serviceMs }: Answered): void {
    const { interval } = this;
    this.serviceMs += (serviceMs - this.serviceMs) * (this.serviceMs === 0 ? 1 : NEWEST);
    if (serviceMs < this.leastServiceMs) this.leastServiceMs = serviceMs;
    interval.answers++;
    if (arrivedMs >= this.changedAt) {
      interval.seen++;
      interval.delayMs += delayMs;
      interval.leastDelayMs = Math.min(interval.leastDelayMs, delayMs);
    }
    if (nowMs < this.intervalEnd) return;
    if (interval.seen > 0) this.look(nowMs);
    this.interval = emptyInterval(nowMs);
    // a long request's interval must be one in which several can be answered
    this.intervalEnd = nowMs + Math.max(INTERVAL_MS, 2 * this.serviceMs);
  }

  private look(nowMs: number): void {
    // who is next always waits for what is being worked on; batches take longer than one request, and are no reason to wait
    const allowedMs = Math.max(this.options.maxDelayMs, this.leastServiceMs);
    const { interval, limit } = this;
    const { peak, leastDelayMs } = interval;
    const meanDelayMs = interval.delayMs / interval.seen;
    if (limit === Number.POSITIVE_INFINITY) {
      if (leastDelayMs <= allowedMs) return;
      // as many as are answered while one is worked on and waits as long as it may (Little's law)
      const perMs = interval.answers / Math.max(1, nowMs - interval.start);
      this.change(nowMs, Math.min(perMs * (allowedMs + this.serviceMs), peak * LARGEST_SHARE));
    } else if (meanDelayMs > allowedMs) {
      const share = Math.max(SMALLEST_SHARE, Math.min(LARGEST_SHARE, allowedMs / meanDelayMs));
      this.change(nowMs, Math.min(limit, peak + 1) * share);
    } else if (peak >= Math.floor(limit) && meanDelayMs < allowedMs * NEAR) {
      this.change(nowMs, limit * (1 + GROWTH) + 1 - meanDelayMs / (allowedMs * NEAR));
    }
  }

  private change(nowMs: number, limit: number): void {
    this.limit = Math.max(1, limit);
    this.changedAt = nowMs;
  }
}

/** What was seen since `start`. */
function emptyInterval(start: number) {
  return {
    start,
    /** All answers, and those to requests that came after the bound last changed. */
    answers: 0,
    seen: 0,
    /** Of the seen: the sum, and the least. */
    delayMs: 0,
    leastDelayMs: Number.POSITIVE_INFINITY,
    /** Most requests at once. */
    peak: 0,
  };
}
