import { setTimeout as sleep } from 'node:timers/promises';
import { backoffMs } from '../../core/backoff.js';
import type { JobHandlers, JobName } from '../../core/jobs.js';
import { AppError, asAppError, messageOf, WIRE } from '../../errors.js';
import type { Log } from '../../log.js';
import type { AnyProcessor, AnyWorker, Link } from './backing.js';
import { DELIVERY, JOB_NAMES, POLICY } from './options.js';

/** What a worker process runs at once, and how patiently it ends. */
export interface HostOptions {
  /** Jobs of a name that run here at once; a name that is left out has its default, and 0 runs none of it here. */
  readonly concurrency: { readonly [name: string]: number };
  /** How long `close` waits for running handlers after it has aborted them, in milliseconds. Default 10 000. */
  readonly closeTimeoutMs?: number;
}

/** Running workers. */
export interface Host {
  /**
   * Takes no more jobs, aborts the running handlers' signals and waits for them, bounded. A handler that throws because
   * of it gives its job back, to be delivered to another worker at once; one that does not end in time loses it to
   * another worker when its lock has run out.
   */
  close(): Promise<void>;
}

/** Starts workers for the handlers on the link; the link is theirs from now on. */
export async function startHost(
  link: Link,
  handlers: JobHandlers,
  options: HostOptions,
  env: { readonly log: Log; readonly onError: (error: Error) => void; readonly queueName: (name: JobName) => string },
): Promise<Host> {
  const { UnrecoverableError, WaitingError } = await import('bullmq');
  const { log } = env;
  const closing = new AbortController();
  const running = new Set<Promise<void>>();

  const processorOf = (name: JobName): AnyProcessor => {
    // the payload is what `enqueue` put in under this name
    const handler = handlers[name] as (data: unknown, signal: AbortSignal) => Promise<void>;
    return async (job, token) => {
      const giveBack = async () => {
        await job.moveToWait(token);
        return new WaitingError();
      };
      if (closing.signal.aborted) throw await giveBack();
      const run = handler(job.data, closing.signal);
      const ended = run.catch(() => {});
      running.add(ended);
      try {
        await run;
      } catch (error) {
        if (closing.signal.aborted) throw await giveBack();
        const last = asAppError(error);
        if (!WIRE[last.code].retry && error instanceof AppError) throw new UnrecoverableError(last.message);
        throw error instanceof Error ? error : last;
      } finally {
        running.delete(ended);
      }
    };
  };

  const workers: AnyWorker[] = [];
  for (const name of JOB_NAMES) {
    const concurrency = options.concurrency[name] ?? POLICY[name].concurrency;
    if (concurrency < 1) continue;
    const worker = link.worker(env.queueName(name), processorOf(name), {
      ...DELIVERY,
      concurrency,
      settings: { backoffStrategy: (failures) => backoffMs(POLICY[name], failures, Math.random()) },
    });
    worker.on('error', env.onError);
    worker.on('stalled', (id) => log.warn('a job is delivered again: its worker died', { job: name, id }));
    worker.on('failed', (job, error) => {
      const final = job === undefined || job.finishedOn !== undefined;
      const fields = { job: name, id: job?.id, attempt: job?.attemptsMade, error: messageOf(error) };
      if (final) log.error('a job failed for good', fields);
      else log.warn('a job failed and will be tried again', fields);
    });
    workers.push(worker);
  }

  const stop = async () => {
    // without waiting: the handlers must learn of it first
    await Promise.all(workers.map((worker) => worker.pause(true)));
    closing.abort(new AppError('cancelled', 'the worker is closing'));
    const timeoutMs = options.closeTimeoutMs ?? 10_000;
    const done = await within(timeoutMs, Promise.all(running));
    if (!done)
      log.warn('handlers still run at close; their jobs go to another worker', { count: running.size, timeoutMs });
    // bounded, since the store may be away; then the connections are cut
    await within(3_000, Promise.all(workers.map((worker) => worker.close(!done))));
    await within(3_000, link.close());
  };
  let stopped: Promise<void> | undefined;
  const close = () => {
    stopped ??= stop();
    return stopped;
  };
  try {
    await Promise.all(workers.map((worker) => worker.waitUntilReady()));
  } catch (error) {
    await close();
    throw error;
  }
  return { close };
}

/** Whether the promise settled in time; never rejects. */
async function within(ms: number, work: Promise<unknown>): Promise<boolean> {
  const timer = new AbortController();
  const late = sleep(ms, false, { signal: timer.signal }).catch(() => false);
  const settled = work.then(
    () => true,
    () => true,
  );
  return Promise.race([settled, late]).finally(() => timer.abort());
}
