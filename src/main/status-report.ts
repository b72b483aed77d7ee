/** Writes to Postgres what this gateway's replicas are doing, so that the rollouts know when a candidate is ready. */

import { forgetGateway, writeStatus } from '../core/endpoints/status-store.js';
import type { RevisionStatus } from '../core/fleet.js';
import type { Db } from '../core/schema.js';
import { messageOf } from '../errors.js';
import type { Log } from '../log.js';

/** Changes of this long are written together. */
const GATHER_MS = 50;
/** Even without a change, a report is repeated: an old one counts for nothing. */
const REPEAT_MS = 5000;

export class StatusReport {
  private readonly latest = new Map<string, RevisionStatus>();
  private readonly dirty = new Set<string>();
  private timer: NodeJS.Timeout | undefined;
  private writing: Promise<void> = Promise.resolve();
  private readonly repeat: NodeJS.Timeout;

  constructor(
    private readonly db: Db,
    private readonly gateway: string,
    private readonly log: Log,
  ) {
    this.repeat = setInterval(() => {
      for (const key of this.latest.keys()) this.dirty.add(key);
      this.schedule();
    }, REPEAT_MS);
  }

  changed(status: RevisionStatus): void {
    const key = `${status.endpointId}/${status.revision}`;
    this.latest.set(key, status);
    this.dirty.add(key);
    this.schedule();
  }

  async close(): Promise<void> {
    clearInterval(this.repeat);
    clearTimeout(this.timer);
    await this.writing;
    await forgetGateway(this.db, this.gateway);
  }

  private schedule(): void {
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      this.writing = this.writing.then(() => this.write());
    }, GATHER_MS);
  }

  private async write(): Promise<void> {
    const keys = [...this.dirty];
    this.dirty.clear();
    const rows = keys.flatMap((key) => this.latest.get(key) ?? []);
    try {
      await writeStatus(this.db, this.gateway, rows);
      // a revision without replicas needs no repeating
      for (const row of rows)
        if (row.ready + row.starting === 0 && !row.failing) this.latest.delete(`${row.endpointId}/${row.revision}`);
    } catch (error) {
      for (const key of keys) this.dirty.add(key);
      this.log.debug('cannot report the replicas', { error: messageOf(error) });
    }
  }
}
