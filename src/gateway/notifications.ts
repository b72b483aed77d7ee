/** Wakes who waits for news (live logs, event streams) when Postgres tells of some. A wake-up is a hint: read to know. */
export class Notifications {
  private readonly waiting = new Map<string, Set<() => void>>();

  /** News on a topic: `logs/<job id>` or `events/<project>`. */
  wake(topic: string): void {
    const waiters = this.waiting.get(topic);
    if (!waiters) return;
    this.waiting.delete(topic);
    for (const resolve of waiters) resolve();
  }

  /** After a lost connection anything may have happened. */
  wakeAll(): void {
    for (const topic of [...this.waiting.keys()]) this.wake(topic);
  }

  /** Resolves at the next news, after `timeoutMs`, or when the signal aborts, whichever is first. Ask before you read. */
  next(topic: string, timeoutMs: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const waiters = this.waiting.get(topic) ?? new Set();
      this.waiting.set(topic, waiters);
      const done = () => {
        clearTimeout(timer);
        signal.removeEventListener('abort', done);
        waiters.delete(done);
        resolve();
      };
      const timer = setTimeout(done, timeoutMs);
      waiters.add(done);
      signal.addEventListener('abort', done);
      if (signal.aborted) done();
    });
  }
}
