import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { JobHandlers } from '../../src/core/jobs.js';
import { AppError } from '../../src/errors.js';
import { createLog } from '../../src/log.js';
import { startEmbeddedPostgres } from '../../src/platform/db/embedded-postgres.js';
import type { Host } from '../../src/platform/queue/host.js';
import { type JobQueue, openQueue } from '../../src/platform/queue/open.js';
import { bundle } from '../support/bundle.js';
import { eventually, runNode } from '../support/children.js';
import { jobHandlers, onlyFor } from '../support/job-handlers.js';
import { freshDatabase } from '../support/postgres.js';
import { quietLog } from '../support/quiet-log.js';
import { startRedis, type TestRedis, whyNoRedis } from '../support/redis-server.js';

interface Store {
  open(): Promise<{ databaseUrl: string; redisUrl?: string }>;
  close(): Promise<void>;
}

let redis: TestRedis | undefined;
const postgres: Store = { open: async () => ({ databaseUrl: await freshDatabase() }), close: async () => {} };
const onRedis: Store = {
  open: async () => {
    redis = await startRedis();
    return { databaseUrl: 'postgres://nobody@127.0.0.1:1/none', redisUrl: redis.url };
  },
  close: async () => redis?.stop(),
};

const noRedis = whyNoRedis();
suite('the queue on Postgres', postgres, false);
suite(noRedis ? `the queue on Redis (skipped: ${noRedis})` : 'the queue on Redis', onRedis, noRedis !== undefined);

function suite(name: string, store: Store, skip: boolean): void {
  describe.skipIf(skip)(name, () => {
    let urls: { databaseUrl: string; redisUrl?: string };
    let holder: string;
    const lines: string[] = [];
    const log = createLog({ level: 'info', format: 'text', write: (line) => lines.push(line) });
    const opened: JobQueue[] = [];
    let prefixes = 0;

    beforeAll(async () => {
      urls = await store.open();
      holder = await bundle(fileURLToPath(new URL('programs/hold-job.ts', import.meta.url)));
    }, 30_000);
    afterEach(async () => {
      for (const queue of opened.splice(0)) await queue.close();
      lines.length = 0;
    });
    afterAll(async () => {
      await store.close();
      await rm(holder, { force: true });
    });

    const open = async (prefix: string | undefined = `t${prefixes++}`) => {
      const queue = await openQueue({ ...urls, log, ...(prefix === '' ? {} : { prefix }) });
      opened.push(queue);
      return queue;
    };
    const host = (
      queue: JobQueue,
      train: JobHandlers['training.run'],
      concurrency = 1,
      closeTimeoutMs = 10_000,
    ): Promise<Host> => {
      const handlers = jobHandlers({ 'training.run': train });
      return queue.host(handlers, { concurrency: onlyFor('training.run', concurrency), closeTimeoutMs });
    };
    const add = (queue: JobQueue, id: string, delayMs?: number) =>
      queue.enqueue('training.run', { jobId: id }, { id, ...(delayMs === undefined ? {} : { delayMs }) });

    test('answers a ping, and delivers in order what was enqueued before anybody listened', async () => {
      const queue = await open();
      await queue.ping();
      for (let n = 0; n < 10; n++) await add(queue, `job:${n}`);
      const seen: string[] = [];
      await host(queue, async ({ jobId }) => void seen.push(jobId));
      await eventually(() => seen.length === 10);
      expect(seen).toEqual(Array.from({ length: 10 }, (_, n) => `job:${n}`));
    });

    test('starts a job soon after it was enqueued', async () => {
      const queue = await open();
      let started = 0;
      await host(queue, async () => {
        started = performance.now();
      });
      const waits: number[] = [];
      for (let n = 0; n < 20; n++) {
        started = 0;
        const begin = performance.now();
        await add(queue, `quick-${n}`);
        await eventually(() => started > 0);
        waits.push(started - begin);
      }
      expect(waits.sort((a, b) => a - b)[10]).toBeLessThan(100);
    });

    test('delivers a delayed job not before its time', async () => {
      const queue = await open();
      let at = 0;
      await host(queue, async () => {
        at = Date.now();
      });
      const begin = Date.now();
      await add(queue, 'later', 400);
      await eventually(() => at > 0);
      expect(at - begin).toBeGreaterThanOrEqual(390);
      expect(at - begin).toBeLessThan(2_000);
    });

    test('does nothing for an id that waits, is delayed or runs, and takes it again when it ended', async () => {
      const queue = await open();
      let runs = 0;
      let release = () => {};
      await add(queue, 'one');
      await add(queue, 'one');
      await add(queue, 'slow', 600);
      await add(queue, 'slow', 600);
      const seen: string[] = [];
      await host(queue, async ({ jobId }) => {
        seen.push(jobId);
        runs++;
        if (runs === 1) await new Promise<void>((resolve) => (release = resolve));
      });
      await eventually(() => runs === 1);
      await add(queue, 'one');
      release();
      await eventually(() => seen.includes('slow'));
      await new Promise((resolve) => setTimeout(resolve, 200));
      expect(seen).toEqual(['one', 'slow']);
      await add(queue, 'one');
      await eventually(() => seen.length === 3);
      expect(seen[2]).toBe('one');
    });

    test('tries a job again with back-off when it throws, and takes its id again when it was given up', async () => {
      const queue = await open();
      const at: number[] = [];
      await host(queue, async () => {
        at.push(Date.now());
        if (at.length < 3) throw new Error('not yet');
      });
      await add(queue, 'flaky');
      await eventually(() => at.length === 3, 15_000);
      const [first = 0, second = 0, third = 0] = at;
      expect(second - first).toBeGreaterThanOrEqual(450);
      expect(third - second).toBeGreaterThanOrEqual(950);
      expect(lines.filter((line) => line.includes('will be tried again'))).toHaveLength(2);
    }, 20_000);

    test('gives a job up at once when its error cannot be retried, and takes its id again', async () => {
      const queue = await open();
      let runs = 0;
      await host(queue, async () => {
        runs++;
        throw new AppError('invalid', 'there is no such thing');
      });
      await add(queue, 'hopeless');
      await eventually(() => lines.some((line) => line.includes('failed for good')));
      expect(runs).toBe(1);
      await eventually(async () => {
        await add(queue, 'hopeless');
        return runs === 2;
      });
    });

    test('runs 200 jobs exactly once each when nothing dies', async () => {
      const queue = await open();
      const second = await open(`t${prefixes - 1}`);
      const seen: string[] = [];
      const take = async ({ jobId }: { jobId: string }) => void seen.push(jobId);
      await host(queue, take, 8);
      await host(second, take, 8);
      await Promise.all(Array.from({ length: 200 }, (_, n) => add(queue, `many-${n}`)));
      await eventually(() => seen.length >= 200, 20_000);
      await new Promise((resolve) => setTimeout(resolve, 200));
      expect(seen).toHaveLength(200);
      expect(new Set(seen).size).toBe(200);
    }, 30_000);

    test('close aborts what runs, waits for it, and a job that was cut short goes to another worker', async () => {
      const queue = await open();
      const other = await open(`t${prefixes - 1}`);
      let state = 'new';
      const first = await host(queue, async (_data, signal) => {
        state = 'running';
        await new Promise<void>((resolve) => signal.addEventListener('abort', () => setTimeout(resolve, 300)));
        state = 'ended';
        throw new AppError('cancelled', 'cut short');
      });
      await add(queue, 'interrupted');
      await eventually(() => state === 'running');
      await first.close();
      expect(state).toBe('ended');
      let again = false;
      await host(other, async () => {
        again = true;
      });
      await eventually(() => again, 3_000);
    });

    test('close waits for a handler that ignores it only so long', async () => {
      const queue = await open();
      let running = false;
      const hosted = await host(
        queue,
        () => {
          running = true;
          return new Promise(() => {});
        },
        1,
        300,
      );
      await add(queue, 'stubborn');
      await eventually(() => running);
      const begin = Date.now();
      await hosted.close();
      expect(Date.now() - begin).toBeLessThan(3_000);
      expect(lines.some((line) => line.includes('handlers still run'))).toBe(true);
    });

    test('delivers a job again when the process that held it was killed', async () => {
      const child = runNode(holder, [urls.databaseUrl, ...(urls.redisUrl ? [urls.redisUrl] : [])]);
      const queue = await open('');
      await child.line(/^hosting/);
      await add(queue, 'orphan');
      await child.line(/^holding orphan/);
      await child.kill();
      const begin = Date.now();
      const seen: string[] = [];
      await host(queue, async ({ jobId }) => void seen.push(jobId));
      await eventually(() => seen.length > 0, 25_000);
      expect(seen).toEqual(['orphan']);
      expect(Date.now() - begin).toBeLessThan(20_000);
    }, 60_000);
  });
}

interface Mortal {
  readonly urls: { databaseUrl: string; redisUrl?: string };
  kill(): Promise<void>;
  start(): Promise<void>;
  stop(): Promise<void>;
}

outage(noRedis ? `Redis goes away (skipped: ${noRedis})` : 'Redis goes away', noRedis !== undefined, async () => {
  const server = await startRedis();
  return { ...server, urls: { databaseUrl: '', redisUrl: server.url } };
});

outage('Postgres goes away', false, async () => {
  const folder = await mkdtemp(join(tmpdir(), 'sluice-pg-'));
  let server = await startEmbeddedPostgres({ folder, log: quietLog });
  return {
    urls: { databaseUrl: server.url },
    kill: async () => {
      process.kill(server.pid, 'SIGKILL');
      await server.exited;
    },
    start: async () => {
      server = await startEmbeddedPostgres({ folder, log: quietLog });
    },
    stop: async () => {
      await server.stop();
      await rm(folder, { recursive: true, force: true, maxRetries: 50, retryDelay: 100 });
    },
  };
});

function outage(name: string, skip: boolean, begin: () => Promise<Mortal>): void {
  test.skipIf(skip)(`${name}: a queue that hosts, and one that waits to host, close soon all the same`, async () => {
    const server = await begin();
    let running = false;
    const train = (_data: unknown, signal: AbortSignal) => {
      running = true;
      return new Promise<void>((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
    };
    const handlers = jobHandlers({ 'training.run': train });
    const queue = await openQueue({ ...server.urls, log: quietLog });
    await queue.host(handlers, { concurrency: {} });
    await queue.enqueue('training.run', { jobId: 'x' }, { id: 'x' });
    await eventually(() => running);
    await server.kill();
    const late = await openQueue({ ...server.urls, log: quietLog });
    const hosting = late.host(handlers, { concurrency: {} }).catch((error: unknown) => error);
    await new Promise((resolve) => setTimeout(resolve, 300));
    const away = Date.now();
    await Promise.all([queue.close(), late.close()]);
    expect(Date.now() - away).toBeLessThan(10_000);
    expect(await hosting).toMatchObject({ code: 'cancelled' });
    await expect(late.enqueue('rollout.advance', { rolloutId: 'r' }, { id: 'y' })).rejects.toMatchObject({
      code: 'not_ready',
    });
    await server.stop();
  });

  test.skipIf(skip)(
    `${name}: enqueue and ping fail soon, and everything goes on when it is back, told once`,
    async () => {
      const server = await begin();
      const lines: string[] = [];
      const log = createLog({ level: 'info', format: 'text', write: (line) => lines.push(line) });
      const queue = await openQueue({ ...server.urls, log });
      const seen: string[] = [];
      const train = async ({ jobId }: { jobId: string }) => void seen.push(jobId);
      const handlers = jobHandlers({ 'training.run': train });
      await queue.host(handlers, { concurrency: {} });
      const add = (id: string, delayMs = 0) => queue.enqueue('training.run', { jobId: id }, { id, delayMs });
      await add('before');
      await eventually(() => seen.length === 1);
      await add('kept', 1_500);
      await server.kill();
      const away = Date.now();
      await expect(add('lost')).rejects.toMatchObject({ code: 'not_ready' });
      await expect(queue.ping()).rejects.toMatchObject({ code: 'not_ready' });
      expect(Date.now() - away).toBeLessThan(5_000);
      await new Promise((resolve) => setTimeout(resolve, 1_000));
      await server.start();
      await eventually(() =>
        queue.ping().then(
          () => true,
          () => false,
        ),
      );
      await add('after');
      await eventually(() => seen.includes('kept') && seen.includes('after'), 20_000);
      await eventually(() => lines.some((line) => line.includes('is back')));
      expect(lines.filter((line) => line.includes('is away'))).toHaveLength(1);
      expect(lines.filter((line) => line.includes('queue error'))).toEqual([]);
      await queue.close();
      await server.stop();
    },
    60_000,
  );
}
