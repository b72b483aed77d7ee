import type { PgPool } from 'bullmq';
import type { Pool, PoolConfig } from 'pg';
import { answered, type Backing, type Link } from './backing.js';

const SCHEMA = 'bullmq';

/** Which database, and whom to tell of its errors; `onError` may be called at any time. */
export interface PostgresBackingOptions {
  readonly url: string;
  readonly onError: (error: Error) => void;
  /** How many queues a consumer listens to: each keeps a connection of its own. */
  readonly queues: number;
}

/** The queue in a Postgres database, in its own schema `bullmq`, which is made when it is not there. */
export async function postgresBacking(options: PostgresBackingOptions): Promise<Backing> {
  const { default: pg } = await import('pg');
  const connect = (more: PoolConfig): Pool => {
    const pool = new pg.Pool({
      connectionString: withSearchPath(options.url),
      connectionTimeoutMillis: 2_000,
      keepAlive: true,
      keepAliveInitialDelayMillis: 10_000,
      ...more,
    });
    pool.on('error', options.onError);
    // the pool listens to idle connections only; one that breaks while it is taken must not end the process
    pool.on('connect', (client) => client.on('error', options.onError));
    return pool;
  };
  let producing: Pool | undefined;
  const producer = () => {
    producing ??= connect({ max: 2, idleTimeoutMillis: 30_000, application_name: 'sluice queue' });
    return producing;
  };
  let migrated: Promise<void> | undefined;
  const migrate = (pool: Pool) => {
    migrated ??= prepareSchema(pool).catch((error: unknown) => {
      migrated = undefined;
      throw error;
    });
    return migrated;
  };

  const link = async (pool: Pool, close: () => Promise<void>): Promise<Link> => {
    const { createPostgresBackend, Queue, Worker } = await import('bullmq');
    // a Pool is what BullMQ's own, smaller description of one asks for, but for its overloads
    const connection = pool as unknown as PgPool;
    return {
      queue: (name) => new Queue(name, { connection }, createPostgresBackend),
      worker: (name, processor, host) => new Worker(name, processor, { ...host, connection }, createPostgresBackend),
      close,
    };
  };

  return {
    kind: 'Postgres',
    producer: async () => {
      const pool = producer();
      await answered('Postgres', migrate(pool), 10_000);
      return link(pool, async () => {});
    },
    consumer: async () => {
      // one connection per queue listens, the rest do the work of all of them
      const pool = connect({ max: options.queues + 6, application_name: 'sluice worker queue' });
      try {
        await migrate(pool);
      } catch (error) {
        await pool.end();
        throw error;
      }
      return link(pool, () => pool.end());
    },
    ping: async () => {
      await answered('Postgres', producer().query('SELECT 1'));
    },
    close: async () => producing?.end(),
  };
}

/** Brings the schema up to what this BullMQ needs; one transaction under a lock, so any number may do it at once. */
async function prepareSchema(pool: Pool): Promise<void> {
  const { runMigrations } = await import('bullmq');
  const client = await pool.connect();
  try {
    await runMigrations(client, SCHEMA);
  } finally {
    client.release();
  }
}

/** BullMQ's statements name no schema. An option in the connection string wins over one beside it, so it goes there. */
function withSearchPath(url: string): string {
  const changed = new URL(url);
  const existing = changed.searchParams.get('options');
  changed.searchParams.set('options', `${existing ? `${existing} ` : ''}-c search_path=${SCHEMA}`);
  return changed.href;
}
