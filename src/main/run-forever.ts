import { AppError, messageOf } from '../errors.js';
import type { Log } from '../log.js';

/** One life of a program. */
export interface Life {
  readonly pid: number;
  /** How it ended, in words. */
  readonly exited: Promise<string>;
  stop(): Promise<void>;
}

export interface Running {
  stop(): Promise<void>;
}

const FIRST_WAIT_MS = 100;
const MAX_WAIT_MS = 10_000;
/** One that lived this long was well: its end does not add to the wait. */
const WELL_AFTER_MS = 30_000;

/** Starts a program, and again whenever it ends without being asked, with growing waits. Rejects when the first start fails. */
export async function runForever(name: string, log: Log, start: () => Promise<Life>): Promise<Running> {
  let life = await start();
  let stopping = false;
  let wake = () => {};
  log.debug(`${name} started`, { pid: life.pid });

  const loop = (async () => {
    for (let failures = 0; ; ) {
      const began = Date.now();
      const how = await life.exited;
      if (stopping) return;
      failures = Date.now() - began > WELL_AFTER_MS ? 0 : failures + 1;
      log.warn(`${name} ended; it is started again`, { how });
      for (;;) {
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, Math.min(MAX_WAIT_MS, FIRST_WAIT_MS * 2 ** (failures - 1)));
          wake = () => {
            clearTimeout(timer);
            resolve();
          };
        });
        if (stopping) return;
        try {
          life = await start();
          break;
        } catch (error) {
          failures++;
          log.error(`${name} does not start`, { error: error instanceof AppError ? error.message : messageOf(error) });
        }
      }
      if (stopping) await life.stop();
    }
  })();

  return {
    async stop() {
      stopping = true;
      wake();
      await life.stop();
      await loop;
    },
  };
}
