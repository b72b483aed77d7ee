/** Failures in a row after which nobody asks for a while. */
const FAILURES = 3;
const OPEN_MS = 1_000;

export interface CircuitEvents {
  opened(error: unknown): void;
  closed(): void;
}

/**
 * A circuit breaker: after some failures in a row it lets nobody pass, but one after each pause, until that one comes
 * back well.
 */
export class Circuit {
  private failures = 0;
  private openUntilMs = 0;

  constructor(
    private readonly clock: { now(): number },
    private readonly events: CircuitEvents,
  ) {}

  /** Whether to ask now. When it is open, true once after each pause. */
  allows(): boolean {
    if (this.failures < FAILURES) return true;
    const now = this.clock.now();
    if (now < this.openUntilMs) return false;
    this.openUntilMs = now + OPEN_MS;
    return true;
  }

  worked(): void {
    const wasOpen = this.failures >= FAILURES;
    this.failures = 0;
    if (wasOpen) this.events.closed();
  }

  failed(error: unknown): void {
    this.failures++;
    if (this.failures < FAILURES) return;
    this.openUntilMs = this.clock.now() + OPEN_MS;
    if (this.failures === FAILURES) this.events.opened(error);
  }
}
