/** How many rows go into one request: about a thousand, fewer when they are large or slow, more when they are quick. */

const FIRST = 1000;
const MOST = 4000;
/** A request that takes longer than this is too large: what is lost with it, or waits behind it, is too much. */
const SLOW_MS = 2000;
/** One that takes less is mostly overhead. */
const QUICK_MS = 100;

export interface RequestSizeOptions {
  /** Always so many, as somebody chose or the model demands. */
  readonly fixed: number | undefined;
  /** Most bytes of tensors in a request; one row goes in any case. */
  readonly maxBytes: number;
}

export class RequestSize {
  private target = FIRST;

  constructor(private readonly options: RequestSizeOptions) {}

  /** Rows for the next request, each of so many bytes. */
  next(rowBytes: number): number {
    const fits = Math.floor(this.options.maxBytes / Math.max(1, rowBytes));
    return Math.max(1, Math.min(this.options.fixed ?? this.target, fits));
  }

  /** Told of every answer: of how many rows, and how long it took. */
  answered(rows: number, tookMs: number): void {
    if (tookMs > SLOW_MS) this.target = Math.max(1, Math.floor(Math.min(rows, this.target) / 2));
    else if (tookMs < QUICK_MS && rows >= this.target) this.target = Math.min(MOST, Math.ceil(this.target * 1.25));
  }
}
