import { ANNOUNCE_MS, announceGateway, withdrawGateway } from '../core/gateways/store.js';
import type { Db } from '../core/schema.js';
import { messageOf } from '../errors.js';
import type { Log } from '../log.js';

export interface AnnouncementOptions {
  readonly id: string;
  readonly url: string;
  readonly log: Log;
}

/** Says in Postgres, again and again, that this gateway lives and where, so that workers find it. */
export class Announcement {
  private readonly timer = setInterval(() => this.announce(), ANNOUNCE_MS);
  private saying: Promise<void> = Promise.resolve();

  constructor(
    private readonly db: Db,
    private readonly options: AnnouncementOptions,
  ) {
    this.announce();
  }

  /** Takes it back. */
  async close(): Promise<void> {
    clearInterval(this.timer);
    await this.saying;
    await withdrawGateway(this.db, this.options.id).catch(() => {});
  }

  private announce(): void {
    const { id, url, log } = this.options;
    this.saying = announceGateway(this.db, id, url).catch((error) =>
      log.debug('cannot say that this gateway lives', { error: messageOf(error) }),
    );
  }
}

/** The URL at which a process on this machine reaches what listens on an address. */
export function reachable(address: string, port: number): string {
  if (address === '0.0.0.0') return `http://127.0.0.1:${port}`;
  if (address === '::') return `http://[::1]:${port}`;
  return `http://${address.includes(':') ? `[${address}]` : address}:${port}`;
}
