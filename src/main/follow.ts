/** Keeps what a gateway holds in memory as it is in the database. */
import type { Clock } from '../clock.js';
import type { KeyTable } from '../core/access/store.js';
import type { RoutingTable } from '../core/inference/routing-table.js';
import type { Db } from '../core/schema.js';
import { messageOf } from '../errors.js';
import { Notifications } from '../gateway/notifications.js';
import type { Log } from '../log.js';
import { listen } from '../platform/db/listen.js';

/** A notification can be lost in ways nobody thought of; a slow full read bounds how long that matters. */
const REREAD_MS = 30_000;

export interface FollowOptions {
  readonly databaseUrl: string;
  readonly db: Db;
  readonly routing: RoutingTable;
  /** Undefined where nobody is let in. */
  readonly keys?: KeyTable;
  /** Woken by events and logs. */
  readonly notifications?: Notifications;
  readonly clock: Clock;
  readonly log: Log;
}

export interface Following {
  /** Whether changes are heard of now. */
  readonly listening: boolean;
  close(): Promise<void>;
}

/** Resolves when everything was read once. */
export async function follow(options: FollowOptions): Promise<Following> {
  const { databaseUrl, db, routing, keys, notifications, clock, log } = options;
  const reload = async () => {
    await Promise.all([routing.reload(db), keys?.reload(db)]);
  };
  await reload();
  let listening = false;
  const attempt = (what: string, work: Promise<unknown> | undefined) =>
    void work?.catch((error) => log.warn(`${what} failed; it is tried again`, { error: messageOf(error) }));
  const channels = ['sluice_routing', ...(keys ? ['sluice_keys'] : [])];
  if (notifications) channels.push(...Notifications.channels);
  const listener = listen(
    databaseUrl,
    channels,
    {
      onNotify(channel, payload) {
        if (channel === 'sluice_routing') attempt('reading the routing', routing.refresh(db, payload));
        else if (channel === 'sluice_keys') attempt('reading the keys', keys?.reload(db));
        else notifications?.notified(channel, payload);
      },
      onConnect() {
        listening = true;
        attempt('reading the routing', reload());
        notifications?.wakeAll();
      },
      onDisconnect() {
        listening = false;
      },
    },
    { clock, log },
  );
  const rereading = setInterval(() => attempt('reading the routing', reload()), REREAD_MS);
  return {
    get listening() {
      return listening;
    },
    async close() {
      clearInterval(rereading);
      await listener.close();
    },
  };
}
