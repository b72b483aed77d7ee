/**
 * One of many: whoever holds a lock of Postgres leads, on a connection of its own. A connection that breaks ends the
 * leadership at once, and one that does not answer counts as broken, because the server may have given the lock away.
 */
import { type RawBuilder, sql } from 'kysely';
import pg from 'pg';
import type { Clock } from '../../clock.js';
import { AppError, messageOf } from '../../errors.js';
import type { Log } from '../../log.js';

export interface Leading {
  /** Aborted as soon as somebody else may lead. */
  readonly signal: AbortSignal;
  /** True in Postgres as long as this very leadership lasts: the condition of a write that must not come late. */
  readonly holds: RawBuilder<boolean>;
}

export interface LeadershipOptions {
  readonly databaseUrl: string;
  /** The lock, by its name. */
  readonly name: string;
  readonly clock: Clock;
  readonly log: Log;
  /** Runs as long as this process leads; should end soon after the signal. */
  lead(leading: Leading): Promise<void>;
}

const TRY_MS = 1000;
const ASK_MS = 1000;
const ANSWER_MS = 3000;

export function openLeadership(options: LeadershipOptions): { close(): Promise<void> } {
  const { clock, log, name } = options;
  const stopped = new AbortController();
  const running = (async () => {
    while (!stopped.signal.aborted) {
      await session(options, stopped.signal).catch((error) => {
        log.debug('cannot ask for the leadership', { of: name, error: messageOf(error) });
      });
      await clock.sleep(TRY_MS, stopped.signal).catch(() => {});
    }
  })();
  return {
    async close() {
      stopped.abort();
      await running;
    },
  };
}

/** Waits for the lock on one connection, and leads until that breaks or we stop. */
async function session(
  { databaseUrl, name, clock, log, lead }: LeadershipOptions,
  stopped: AbortSignal,
): Promise<void> {
  const client = new pg.Client({ connectionString: databaseUrl, connectionTimeoutMillis: 5000, keepAlive: true });
  const lost = new AbortController();
  const lose = (why: string) => lost.abort(new AppError('cancelled', why));
  const stop = () => lose('the worker stops');
  client.on('error', (error) => lose(`the connection of the lock broke: ${error.message}`));
  client.on('end', () => lose('the connection of the lock ended'));
  stopped.addEventListener('abort', stop, { once: true });
  try {
    await client.connect();
    const key = `hashtext(${pg.escapeLiteral(name)})`;
    const ask = async <T extends object>(text: string) =>
      (await Promise.race([client.query<T>(text), late(clock, lost.signal)])).rows[0];
    for (;;) {
      lost.signal.throwIfAborted();
      const taken = await ask<{ got: boolean }>(`select pg_try_advisory_lock(${LOCK_CLASS}, ${key}) as got`);
      if (taken?.got) break;
      await clock.sleep(TRY_MS, lost.signal);
    }
    const { pid = 0, objid = 0 } =
      (await ask<{ pid: number; objid: number }>(
        `select pid, objid from pg_locks where locktype = 'advisory' and pid = pg_backend_pid() and classid = ${LOCK_CLASS} limit 1`,
      )) ?? {};
    log.info('this worker leads', { of: name });
    const holds = sql<boolean>`exists (select from pg_locks where locktype = 'advisory' and granted
      and classid = ${LOCK_CLASS} and objid = ${objid} and pid = ${pid})`;
    const leading = lead({ signal: lost.signal, holds });
    const asking = (async () => {
      while (!lost.signal.aborted) {
        await clock.sleep(ASK_MS, lost.signal);
        await ask('select 1');
      }
    })();
    asking.catch((error) => lose(messageOf(error)));
    await leading;
    lose('it was let go');
    await asking.catch(() => {});
  } finally {
    stopped.removeEventListener('abort', stop);
    lose('it was let go');
    // one that is dead already would not tell of its end
    await Promise.race([client.end().catch(() => {}), clock.sleep(ANSWER_MS)]);
  }
}

/** Beside other advisory locks of this database. */
const LOCK_CLASS = 0x51c5;

async function late(clock: Clock, signal: AbortSignal): Promise<never> {
  await clock.sleep(ANSWER_MS, signal);
  throw new AppError('timeout', `the database did not answer within ${ANSWER_MS} ms`);
}
