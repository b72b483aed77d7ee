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

/** The same address for a process on this machine, of one that listens on all of them. */
export function reachable(url: string): string {
  return url.replace('//0.0.0.0:', '//127.0.0.1:').replace('//[::]:', '//[::1]:');
}
