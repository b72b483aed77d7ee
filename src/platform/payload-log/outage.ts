import { messageOf } from '../../errors.js';
import type { Log } from '../../log.js';

/** Tells of a sink that fails: once when it begins to, and once when it works again. */
export class Outage {
  private away = false;

  constructor(
    private readonly log: Log,
    private readonly endpoint: string,
  ) {}

  failed(error: unknown): void {
    if (this.away) return;
    this.away = true;
    this.log.warn('the payload log cannot be written', { endpoint: this.endpoint, error: messageOf(error) });
  }

  worked(): void {
    if (!this.away) return;
    this.away = false;
    this.log.info('the payload log is written again', { endpoint: this.endpoint });
  }
}
