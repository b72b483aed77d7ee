import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '../../../tests/support/children.js';
import { startRedis, type TestRedis, whyNoRedis } from '../../../tests/support/redis-server.js';
import { ManualClock, systemClock } from '../../clock.js';
import { createLog } from '../../log.js';
import { freePort } from '../free-port.js';
import { Circuit } from './circuit.js';
import { openRedisCache, type RedisCache } from './redis-cache.js';

const noRedis = whyNoRedis();
const caches: RedisCache[] = [];
afterAll(() => {
  for (const cache of caches.splice(0)) cache.close();
});

/** With time enough for a busy machine, unless the test is about too little of it. */
async function open(url: string, budgetMs = 5_000) {
  const logged: string[] = [];
  const log = createLog({ level: 'info', format: 'json', write: (line) => logged.push(line) });
  const cache = await openRedisCache({ url, clock: systemClock, log, budgetMs });
  caches.push(cache);
  const messages = () => logged.map((line) => (JSON.parse(line) as { message: string }).message);
  return { cache, messages };
}

/** Asks until the cache is connected and has the key. */
async function found(cache: RedisCache, key: string, value: Buffer, ttlMs = 60_000) {
  let got: Awaited<ReturnType<RedisCache['get']>>;
  await eventually(async () => {
    cache.set(key, value, ttlMs);
    got = await cache.get(key);
    return got !== undefined;
  });
  return got;
}

describe.skipIf(noRedis !== undefined)(`answers in Redis${noRedis ? ` (skipped: ${noRedis})` : ''}`, () => {
  let redis: TestRedis;
  beforeAll(async () => {
    redis = await startRedis();
  }, 60_000);
  afterAll(() => redis?.stop());

  it('are bytes that another gateway finds, with what is left of their time', async () => {
    const [one, other] = [(await open(redis.url)).cache, (await open(redis.url)).cache];
    const value = Buffer.from([0, 255, 13, 10, 0]);
    const got = await found(one, 'ep/1:key', value);
    expect(got?.value).toEqual(value);
    await eventually(async () => (await other.get('ep/1:key'))?.value.equals(value) === true);
    expect((await other.get('ep/1:key'))?.ttlMs).toBeGreaterThan(0);
    expect((await other.get('ep/1:key'))?.ttlMs).toBeLessThanOrEqual(60_000);
    expect(await one.get('ep/2:key')).toBeUndefined();
  });

  it('go when their time is over', async () => {
    const { cache } = await open(redis.url);
    await found(cache, 'long', Buffer.from('x'));
    cache.set('short', Buffer.from('x'), 1);
    await eventually(async () => (await cache.get('short')) === undefined);
  });

  it('are not waited for while Redis hangs, and are there again after it', async () => {
    const { cache, messages } = await open(redis.url, 50);
    await found(cache, 'here', Buffer.from('x'));
    const admin = new Redis(redis.url);
    await admin.client('PAUSE', 2_000, 'ALL');
    // each gives up after its budget; after a few of them nobody asks any more
    for (let i = 0; i < 3; i++) expect(await cache.get('here')).toBeUndefined();
    expect(messages()).toEqual(['the response cache in Redis is not used']);
    expect(await cache.get('here')).toBeUndefined();
    cache.set('here', Buffer.from('y'), 60_000);
    await eventually(async () => (await cache.get('here')) !== undefined);
    expect(messages()).toEqual([
      'the response cache in Redis is not used',
      'the response cache in Redis is used again',
    ]);
    admin.disconnect();
  });

  it('are as if never kept while Redis is away, and are kept again when it is back', async () => {
    const own = await startRedis();
    const { cache, messages } = await open(own.url);
    await found(cache, 'a', Buffer.from('x'));
    await own.kill();
    await eventually(async () => (await cache.get('a')) === undefined);
    cache.set('b', Buffer.from('x'), 60_000);
    await eventually(() => messages().includes('the response cache in Redis is not used'));
    await own.start();
    await found(cache, 'c', Buffer.from('x'));
    expect(messages()).toEqual([
      'the response cache in Redis is not used',
      'the response cache in Redis is used again',
    ]);
    await own.stop();
  }, 60_000);
});

describe('without a Redis at its address', () => {
  it('nothing is found, nothing fails', async () => {
    const { cache } = await open(`redis://127.0.0.1:${await freePort()}`);
    cache.set('a', Buffer.from('x'), 1000);
    expect(await cache.get('a')).toBeUndefined();
  });
});

describe('the circuit', () => {
  it('opens after failures in a row, lets one pass after a pause, and closes when that one is well', async () => {
    const clock = new ManualClock();
    const events: string[] = [];
    const circuit = new Circuit(clock, {
      opened: (error) => void events.push(`opened ${error}`),
      closed: () => void events.push('closed'),
    });
    circuit.failed('a');
    circuit.failed('b');
    circuit.worked();
    for (const error of ['c', 'd', 'e', 'f']) circuit.failed(error);
    expect(events).toEqual(['opened e']);
    expect(circuit.allows()).toBe(false);
    await clock.advance(1000);
    expect([circuit.allows(), circuit.allows()]).toEqual([true, false]);
    circuit.failed('g');
    expect(circuit.allows()).toBe(false);
    await clock.advance(1000);
    expect(circuit.allows()).toBe(true);
    circuit.worked();
    expect([circuit.allows(), circuit.allows()]).toEqual([true, true]);
    expect(events).toEqual(['opened e', 'closed']);
  });
});
