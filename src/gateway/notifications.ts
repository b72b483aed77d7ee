import { PREDICTIONS_CHANNEL } from '../core/predictions/spec.js';

/** Wakes who waits for news (live logs, event streams) when Postgres tells of some. A wake-up is a hint: read to know. */
export class Notifications {
  /** Channels of Postgres that tell of news. */
  static readonly channels = ['sluice_events', 'sluice_logs', PREDICTIONS_CHANNEL] as const;

  private readonly waiting = new Map<string, Set<() => void>>();

  /** What a channel told. */
  notified(channel: string, payload: string): void {
    if (channel === 'sluice_logs') this.wake(`logs/${payload}`);
    else if (channel === PREDICTIONS_CHANNEL) this.wake(`predictions/${payload}`);
    else this.wake(`events/${payload}`);
  }

  /** News on a topic: `logs/<job id>`, `predictions/<id>` or `events/<project>`. */
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
