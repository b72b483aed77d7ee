import { Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';
import type { Db, Schema } from '../../core/schema.js';
import type { Log } from '../../log.js';

// counts and sequence numbers fit a double; the driver's default for bigint is text
pg.types.setTypeParser(pg.types.builtins.INT8, Number);

export interface Database {
  readonly db: Db;
  readonly pool: pg.Pool;
  close(): Promise<void>;
}

/** A pool that outlives the server's restarts: a broken idle connection is dropped, the next query makes a new one. */
export function openDatabase(url: string, log: Log, max = 10): Database {
  const pool = new pg.Pool({
    connectionString: url,
    max,
    connectionTimeoutMillis: 5000,
    idleTimeoutMillis: 30_000,
    keepAlive: true,
  });
  pool.on('error', (error) => log.warn('a database connection broke', { error: error.message }));
  // one that breaks while it is taken, between two statements of a transaction, has no listener of the pool's: without one
  // of ours the error would end the process. Its next statement fails and says why.
  pool.on('connect', (client) => client.on('error', () => {}));
  const db = new Kysely<Schema>({ dialect: new PostgresDialect({ pool }) });
  return { db, pool, close: () => db.destroy() };
}
