import { messageOf } from '../../errors.js';
import type { Log } from '../../log.js';

/** What is told of a store that goes away and comes back. */
export interface Outage {
  /** Tell of an error. The loss of the store is logged once, until it is back; any other error once a minute. */
  report(error: unknown): void;
  close(): void;
}

const CONNECTION_ERROR =
  /ECONNREFUSED|ECONNRESET|ETIMEDOUT|EPIPE|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|Connection (is closed|terminated)|connection timeout|timeout exceeded when trying to connect|Command timed out|Stream isn't writeable|terminating connection|the database system is|LOADING|READONLY|not queryable/i;
// what Postgres says when it is going down, is down or is not up yet
const CONNECTION_CODES = new Set([
  '57P01',
  '57P02',
  '57P03',
  '08000',
  '08001',
  '08003',
  '08006',
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
]);

/** The same error again is not told for so long. */
const REPEAT_MS = 60_000;

/** Watches for the loss of the store below the queue, and for its return by asking `ping` every second. */
export function watchOutages(kind: string, ping: () => Promise<void>, log: Log): Outage {
  let since: number | undefined;
  let timer: NodeJS.Timeout | undefined;
  let closed = false;
  let last = { message: '', at: 0 };
  const probe = () => {
    timer = setTimeout(() => {
      ping().then(
        () => {
          if (closed || since === undefined) return;
          log.info(`the queue on ${kind} is back`, { awayMs: Date.now() - since });
          since = undefined;
        },
        () => {
          if (!closed) probe();
        },
      );
    }, 1_000);
    timer.unref();
  };
  return {
    report: (error) => {
      if (closed) return;
      if (!isConnectionError(error)) {
        const message = messageOf(error);
        if (message === last.message && Date.now() - last.at < REPEAT_MS) return;
        last = { message, at: Date.now() };
        log.warn('queue error', { error: message });
        return;
      }
      if (since !== undefined) return;
      since = Date.now();
      log.warn(`the queue on ${kind} is away`, { error: messageOf(error) });
      probe();
    },
    close: () => {
      closed = true;
      clearTimeout(timer);
    },
  };
}

function isConnectionError(error: unknown): boolean {
  if (error instanceof AggregateError) return error.errors.some(isConnectionError);
  if (!(error instanceof Error)) return false;
  if ('code' in error && typeof error.code === 'string' && CONNECTION_CODES.has(error.code)) return true;
  return CONNECTION_ERROR.test(error.message);
}
