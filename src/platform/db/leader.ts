/** One of many programs does something at a time: whoever holds an advisory lock of Postgres, on a connection of its own. */
import pg from 'pg';
import type { Clock } from '../../clock.js';
import { messageOf } from '../../errors.js';
import type { Log } from '../../log.js';

export interface LeadOptions {
  readonly databaseUrl: string;
  /** What is led, in words; its hash is the lock. */
  readonly what: string;
  readonly clock: Clock;
  readonly log: Log;
}

const TRY_AGAIN_MS = 2000;
/** How often the lock's connection shows that it lives, and how long it may take. */
const BEAT_MS = 2000;
const BEAT_TIMEOUT_MS = 5000;

/**
 * Runs `work` for as long as we lead, again and again. Its signal aborts the moment that the connection, and with it the
 * lock, is lost: from then on somebody else may lead.
 */
export function lead(options: LeadOptions, work: (signal: AbortSignal) => Promise<void>): { close(): Promise<void> } {
  const { clock, log, what } = options;
  const stopped = new AbortController();
  const running = (async () => {
    while (!stopped.signal.aborted) {
      await term(options, work, stopped.signal).catch((error) =>
        log.warn('a leader stopped leading', { what, error: messageOf(error) }),
      );
      await clock.sleep(TRY_AGAIN_MS, stopped.signal).catch(() => {});
    }
  })();
  return {
    async close() {
      stopped.abort();
      await running;
    },
  };
}

async function term(
  { databaseUrl, what, clock, log }: LeadOptions,
  work: (signal: AbortSignal) => Promise<void>,
  stopped: AbortSignal,
): Promise<void> {
  const client = new pg.Client({
    connectionString: databaseUrl,
    connectionTimeoutMillis: BEAT_TIMEOUT_MS,
    query_timeout: BEAT_TIMEOUT_MS,
    keepAlive: true,
  });
  const lost = new AbortController();
  client.on('error', (error) => lost.abort(error));
  client.on('end', () => lost.abort(new Error('the connection of the lock ended')));
  try {
    await client.connect();
    const { rows } = await client.query('select pg_try_advisory_lock(hashtextextended($1, 0)) as held', [what]);
    if (rows[0]?.held !== true) return;
    log.info('leading', { what });
    const signal = AbortSignal.any([stopped, lost.signal]);
    const beating = (async () => {
      while (!signal.aborted) {
        await clock.sleep(BEAT_MS, signal).catch(() => {});
        if (!signal.aborted) await client.query('select 1').catch((error) => lost.abort(error));
      }
    })();
    await work(signal).finally(() => lost.abort(new Error('the work is over')));
    await beating;
  } finally {
    await client.end().catch(() => {});
  }
}
