import { createServer } from 'node:net';
import { sql } from 'kysely';
import pg from 'pg';
import { expect, test } from 'vitest';
import { systemClock } from '../../src/clock.js';
import { listen } from '../../src/platform/db/listen.js';
import { openDatabase } from '../../src/platform/db/open.js';
import { freshDatabase } from '../support/postgres.js';
import { quietLog } from '../support/quiet-log.js';

test('a connection that breaks within a transaction fails the transaction and not the process', async () => {
  const url = await freshDatabase();
  const { db, close } = openDatabase(url, quietLog);
  const killer = new pg.Client(url);
  await killer.connect();
  try {
    const broken = db.transaction().execute(async (tx) => {
      const { rows } = await sql<{ pid: number }>`select pg_backend_pid() as pid`.execute(tx);
      await killer.query('select pg_terminate_backend($1)', [rows[0]?.pid]);
      // the server's last word comes while no statement runs: nobody waits for it
      await new Promise((resolve) => setTimeout(resolve, 100));
      await sql`select 1`.execute(tx);
    });
    await expect(broken).rejects.toThrow();
    expect((await sql<{ one: number }>`select 1 as one`.execute(db)).rows).toEqual([{ one: 1 }]);
  } finally {
    await killer.end();
    await close();
  }
});

test('listening ends also while it is being connected', async () => {
  // it says nothing, but hears that the client has ended
  const silent = createServer((socket) => void socket.resume());
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  const address = silent.address();
  const port = typeof address === 'object' && address ? address.port : 0;
  try {
    const connected = new Promise((resolve) => silent.once('connection', resolve));
    const handlers = { onNotify: () => {}, onConnect: () => {} };
    const url = `postgres://u:p@127.0.0.1:${port}/d`;
    const listener = listen(url, ['a'], handlers, { clock: systemClock, log: quietLog });
    await connected;
    await listener.close();
  } finally {
    silent.close();
  }
});
