import { systemClock } from '../../clock.js';
import type { Enqueue, JobHandlers, JobName } from '../../core/jobs.js';
import { AppError } from '../../errors.js';
import type { Log } from '../../log.js';
import { ANSWER_MS, type AnyQueue, answered, type Link } from './backing.js';
import { type Host, type HostOptions, startHost } from './host.js';
import { JOB_NAMES, POLICY, queueId, RETENTION } from './options.js';
import { watchOutages } from './outage.js';
import { postgresBacking } from './postgres-backing.js';
import { redisBacking } from './redis-backing.js';

/** Where the queue is kept. */
export interface QueueOptions {
  /** Where it is set the queue is on Redis, else in the database. */
  readonly redisUrl?: string;
  readonly databaseUrl: string;
  readonly log: Log;
  /** Keeps the queues of several installations on one store apart; letters, digits and dashes. */
  readonly prefix?: string;
}

/** The job queue of one process: a producer, and as many hosts as it asks for. */
export interface JobQueue {
  /** Resolves when the store has the job; `not_ready` within about two seconds when the store is away. */
  readonly enqueue: Enqueue;
  /** Runs the handlers here. Resolves when the workers are connected; while the store is away it waits for it. */
  host(handlers: JobHandlers, options: HostOptions): Promise<Host>;
  /** Rejects with `not_ready` within about two seconds when the store does not answer. */
  ping(): Promise<void>;
  /** Closes the hosts and the connections. */
  close(): Promise<void>;
}

/**
 * Opens the job queue. Nothing is connected yet: the first `enqueue`, `ping` or `host` does that, so that opening costs a
 * start nothing and a store that is away keeps no process from starting.
 */
export async function openQueue(options: QueueOptions): Promise<JobQueue> {
  const { log } = options;
  const queueName = (name: JobName) => (options.prefix === undefined ? name : `${options.prefix}.${name}`);
  const onError = (error: unknown) => outage.report(error);
  const backing =
    options.redisUrl === undefined
      ? await postgresBacking({ url: options.databaseUrl, onError, queues: JOB_NAMES.length })
      : await redisBacking({ url: options.redisUrl, onError });
  const outage = watchOutages(backing.kind, () => backing.ping(), log);
  const closing = new AbortController();
  const hosts = new Set<Host>();

  let producers: Promise<Map<JobName, AnyQueue>> | undefined;
  const connect = async () => {
    const link = await backing.producer();
    const queues = new Map<JobName, AnyQueue>();
    for (const name of JOB_NAMES) {
      const queue = link.queue(queueName(name));
      queue.on('error', onError);
      queues.set(name, queue);
    }
    try {
      await Promise.all([...queues.values()].map((queue) => answered(backing.kind, queue.waitUntilReady())));
    } catch (error) {
      await closeAll(queues);
      throw error;
    }
    return queues;
  };
  const connected = () => {
    producers ??= connect().catch((error: unknown) => {
      producers = undefined;
      throw error;
    });
    return producers;
  };

  const enqueue: Enqueue = async (name, data, { id, delayMs }) => {
    if (closing.signal.aborted) throw new AppError('not_ready', 'the queue is closed');
    const queue = (await connected()).get(name);
    if (!queue) throw new AppError('invalid', `there is no job named ${name}`);
    const add = queue.add(name, data, {
      jobId: queueId(id),
      attempts: POLICY[name].attempts,
      backoff: { type: 'capped' },
      ...RETENTION,
      ...(delayMs !== undefined && delayMs > 0 ? { delay: Math.ceil(delayMs) } : {}),
    });
    await answered(backing.kind, add, ANSWER_MS);
  };

  const consumer = async (): Promise<Link> => {
    for (;;) {
      try {
        await backing.ping();
        return await backing.consumer();
      } catch (error) {
        outage.report(error instanceof AppError ? error.cause : error);
        await systemClock.sleep(500, closing.signal);
      }
    }
  };

  return {
    enqueue,
    host: async (handlers, hostOptions) => {
      const host = await startHost(await consumer(), handlers, hostOptions, { log, onError, queueName });
      hosts.add(host);
      return {
        close: async () => {
          await host.close();
          hosts.delete(host);
        },
      };
    },
    ping: () => backing.ping(),
    close: async () => {
      closing.abort(new AppError('cancelled', 'the queue is closed'));
      await Promise.all([...hosts].map((host) => host.close()));
      outage.close();
      const queues = await producers?.catch(() => undefined);
      if (queues) await closeAll(queues);
      await backing.close();
    },
  };
}

async function closeAll(queues: Map<JobName, AnyQueue>): Promise<void> {
  await Promise.all([...queues.values()].map((queue) => queue.close().catch(() => undefined)));
}
