import pg from 'pg';
import type { Clock } from '../../clock.js';
import { AppError, messageOf } from '../../errors.js';
import type { Log } from '../../log.js';

/**
 * Listens to Postgres channels on a connection of its own, for ever. `onConnect` runs after every (re)connection, once
 * listening has begun, so that what was missed in between can be read afresh.
 */
export function listen(
  url: string,
  channels: readonly string[],
  handlers: { onNotify(channel: string, payload: string): void; onConnect(): void; onDisconnect?(): void },
  { clock, log }: { clock: Clock; log: Log },
): { close(): Promise<void> } {
  const stopped = new AbortController();
  let client: pg.Client | undefined;
  const whenStopped = new Promise<never>((_resolve, reject) => {
    stopped.signal.addEventListener('abort', () => reject(new AppError('cancelled', 'nobody listens any more')));
  });
  whenStopped.catch(() => {});

  const session = async (): Promise<void> => {
    const current = new pg.Client({ connectionString: url, connectionTimeoutMillis: 5000, keepAlive: true });
    client = current;
    const ended = new Promise<void>((resolve) => {
      current.on('error', () => resolve());
      current.on('end', () => resolve());
    });
    current.on('notification', (message) => handlers.onNotify(message.channel, message.payload ?? ''));
    try {
      // a client that is ended while it connects never says so
      await Promise.race([current.connect(), whenStopped]);
      for (const channel of channels) await current.query(`listen ${pg.escapeIdentifier(channel)}`);
      handlers.onConnect();
      await ended;
    } finally {
      await current.end().catch(() => {});
    }
  };

  const running = (async () => {
    for (let failures = 0; !stopped.signal.aborted; ) {
      const began = clock.now();
      await session().catch((error) => log.debug('cannot listen to the database', { error: messageOf(error) }));
      handlers.onDisconnect?.();
      if (stopped.signal.aborted) return;
      failures = clock.now() - began > 10_000 ? 0 : failures + 1;
      await clock.sleep(Math.min(100 * 2 ** failures, 2000), stopped.signal).catch(() => {});
    }
  })();

  return {
    async close() {
      stopped.abort();
      await client?.end().catch(() => {});
      await running;
    },
  };
}
