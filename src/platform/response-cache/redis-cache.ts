/**
 * The cache that gateways share, in Redis. Nobody waits for it longer than its budget; while it is away, or too slow, it is
 * not asked, but for a try now and then. Values are bytes, with a time to live of Redis' own.
 */
import type { Redis } from 'ioredis';
import type { Clock } from '../../clock.js';
import type { SharedCache } from '../../core/inference/response-cache/shared-cache.js';
import { messageOf } from '../../errors.js';
import type { Log } from '../../log.js';
import { RECONNECT } from '../redis-reconnect.js';
import { Circuit } from './circuit.js';

export interface RedisCacheOptions {
  readonly url: string;
  readonly clock: Pick<Clock, 'now'>;
  readonly log: Log;
  /** Put before every key; keeps installations on one Redis apart. */
  readonly prefix?: string;
  /** Longest that a look-up may take. */
  readonly budgetMs?: number;
}

export interface RedisCache extends SharedCache {
  close(): void;
}

/** The number is that of the values' form: another one finds none of the old. */
const PREFIX = 'sluice:responses:1:';
const BUDGET_MS = 50;
/** Values that are being sent: more is not kept, rather than held in memory for a Redis that does not take it. */
const MAX_SENDING_BYTES = 16 * 2 ** 20;
const MAX_ASKING = 1000;
/** Opens it; the connection is made meanwhile. */
export async function openRedisCache(options: RedisCacheOptions): Promise<RedisCache> {
  const { Redis } = await import('ioredis');
  const { budgetMs = BUDGET_MS, prefix = PREFIX, log, clock } = options;
  const redis: Redis = new Redis(options.url, {
    ...RECONNECT,
    // a command for a Redis that is away fails at once instead of waiting in memory
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    commandTimeout: budgetMs,
  });
  const circuit = new Circuit(clock, {
    opened: (error) => {
      log.warn('the response cache in Redis is not used', { error: messageOf(error) });
      // what was sent to a Redis that does not read is not held any longer
      if (redis.status === 'ready') redis.disconnect(true);
    },
    closed: () => log.info('the response cache in Redis is used again'),
  });
  redis.on('error', (error: unknown) => circuit.failed(error));
  redis.on('ready', () => circuit.worked());
  let asking = 0;
  let sendingBytes = 0;
  return {
    async get(key) {
      if (redis.status !== 'ready' || asking >= MAX_ASKING || !circuit.allows()) return undefined;
      asking++;
      try {
        const found = await read(redis, prefix + key);
        circuit.worked();
        return found;
      } catch (error) {
        circuit.failed(error);
        return undefined;
      } finally {
        asking--;
      }
    },
    set(key, value, ttlMs) {
      const sends = sendingBytes + value.length <= MAX_SENDING_BYTES;
      if (redis.status !== 'ready' || !sends || !circuit.allows()) return;
      sendingBytes += value.length;
      redis
        .set(prefix + key, value, 'PX', Math.max(1, Math.round(ttlMs)))
        .then(() => circuit.worked())
        .catch((error: unknown) => circuit.failed(error))
        .finally(() => {
          sendingBytes -= value.length;
        });
    },
    close: () => redis.disconnect(),
  };
}

/** A value and what is left of its time, in one round trip. */
async function read(redis: Redis, key: string): Promise<{ value: Buffer; ttlMs: number } | undefined> {
  const [value, ttlMs] = await Promise.all([redis.getBuffer(key), redis.pttl(key)]);
  return value === null || ttlMs <= 0 ? undefined : { value, ttlMs };
}
