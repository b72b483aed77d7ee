import type { Job, JobsOptions, Processor, Queue, WorkerOptions } from 'bullmq';
import { AppError, messageOf } from '../../errors.js';

/** What we use of BullMQ's producer side, whichever store is below it. */
export type AnyQueue = Pick<Queue, 'waitUntilReady' | 'close'> & {
  add(name: string, data: unknown, options: JobsOptions): Promise<unknown>;
  on(event: 'error', listener: (error: Error) => void): unknown;
};

/** What we use of BullMQ's consumer side. */
export interface AnyWorker {
  waitUntilReady(): Promise<void>;
  close(force?: boolean): Promise<void>;
  pause(doNotWaitActive?: boolean): Promise<void>;
  on(event: 'error', listener: (error: Error) => void): unknown;
  on(event: 'stalled', listener: (jobId: string) => void): unknown;
  on(event: 'failed', listener: (job: Job<unknown, void, string> | undefined, error: Error) => void): unknown;
}

/** The options of a worker that do not depend on the store. */
export type HostOptions = Omit<WorkerOptions, 'connection'>;

/** BullMQ's own payload type: what comes out is what went in, by the job's name. */
export type AnyProcessor = Processor<unknown, void, string>;

/** Connections to one store, for producers or for workers. */
export interface Link {
  queue(name: string): AnyQueue;
  worker(name: string, processor: AnyProcessor, options: HostOptions): AnyWorker;
  /** Closes the connections, whatever is still under way on them. */
  close(): Promise<void>;
}

/** The store below the queue. */
export interface Backing {
  readonly kind: 'Redis' | 'Postgres';
  /** Connections whose commands fail soon when the store is away. Rejects when it is away now. */
  producer(): Promise<Link>;
  /** Connections that wait for the store for ever. Rejects when they cannot be made now. */
  consumer(): Promise<Link>;
  /** Rejects within about two seconds when the store does not answer. */
  ping(): Promise<void>;
  close(): Promise<void>;
}

/** Nothing on the producer's side waits longer than this for the store. */
export const ANSWER_MS = 2_000;

/** The promise's outcome, or an `AppError('not_ready')` when it takes longer or fails. */
export async function answered<T>(kind: Backing['kind'], work: Promise<T>, ms: number = ANSWER_MS): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer in ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([work, late]);
  } catch (error) {
    throw new AppError('not_ready', `the queue on ${kind} cannot be reached: ${messageOf(error) || 'no connection'}`, {
      retryAfterSec: 1,
      cause: error,
    });
  } finally {
    clearTimeout(timer);
    // whatever comes of it later interests nobody
    work.catch(() => {});
  }
}
