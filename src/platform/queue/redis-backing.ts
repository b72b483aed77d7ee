import type { Redis, RedisOptions } from 'ioredis';
import { RECONNECT } from '../redis-reconnect.js';
import { answered, type Backing, type Link } from './backing.js';

const KEY_PREFIX = 'sluice';

/** Which Redis, and whom to tell of its errors; `onError` may be called at any time. */
export interface RedisBackingOptions {
  readonly url: string;
  readonly onError: (error: Error) => void;
}

/** The queue on Redis. */
export async function redisBacking(options: RedisBackingOptions): Promise<Backing> {
  const { Redis } = await import('ioredis');
  const connect = (more: Pick<RedisOptions, 'enableOfflineQueue' | 'maxRetriesPerRequest' | 'commandTimeout'>) => {
    const redis = new Redis(options.url, { ...RECONNECT, ...more });
    redis.on('error', options.onError);
    return redis;
  };
  let producing: Redis | undefined;
  const producer = () => {
    // a command for a Redis that is away fails at once instead of waiting in memory
    producing ??= connect({ enableOfflineQueue: false, maxRetriesPerRequest: 1, commandTimeout: 2_000 });
    return producing;
  };

  const link = async (redis: Redis, close: () => Promise<void>): Promise<Link> => {
    const { Queue, Worker } = await import('bullmq');
    const connection = redis;
    return {
      queue: (name) => new Queue(name, { connection, prefix: KEY_PREFIX }),
      worker: (name, processor, host) => new Worker(name, processor, { ...host, connection, prefix: KEY_PREFIX }),
      close,
    };
  };

  return {
    kind: 'Redis',
    producer: async () => {
      const redis = producer();
      await answered('Redis', ready(redis));
      return link(redis, async () => {});
    },
    consumer: () => {
      const redis = connect({ maxRetriesPerRequest: null });
      return link(redis, async () => redis.disconnect());
    },
    ping: async () => {
      const redis = producer();
      await answered(
        'Redis',
        ready(redis).then(() => redis.ping()),
      );
    },
    close: async () => producing?.disconnect(),
  };
}

function ready(redis: Redis): Promise<void> {
  if (redis.status === 'ready') return Promise.resolve();
  return new Promise((resolve) => redis.once('ready', () => resolve()));
}
