/**
 * Work that may wait and must not be in the way: one piece at a time, each in a turn of the event loop of its own, and after
 * a long one a pause, so that all of them together take a small share of the time.
 */

/** A piece that took longer is followed by a pause. */
const LONG_MS = 1;
/** The pause, in times of what the piece took: pieces take at most a tenth of the time. */
const PAUSE_TIMES = 9;

export class PacedQueue {
  private readonly pieces: (() => void)[] = [];
  private running = false;

  constructor(private readonly limit: number) {}

  get waiting(): number {
    return this.pieces.length;
  }

  /** False where too many wait: the piece is not taken. A piece must not throw. */
  add(piece: () => void): boolean {
    if (this.pieces.length >= this.limit) return false;
    this.pieces.push(piece);
    if (!this.running) {
      this.running = true;
      setImmediate(this.next);
    }
    return true;
  }

  private readonly next = (): void => {
    const began = performance.now();
    this.pieces.shift()?.();
    const tookMs = performance.now() - began;
    if (this.pieces.length === 0) this.running = false;
    else if (tookMs > LONG_MS) setTimeout(this.next, tookMs * PAUSE_TIMES);
    else setImmediate(this.next);
  };
}
