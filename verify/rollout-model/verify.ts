import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sql } from 'kysely';
import { startEmbeddedPostgres } from '../../src/platform/db/embedded-postgres.js';
import { migrate } from '../../src/platform/db/migrate.js';
import { openDatabase } from '../../src/platform/db/open.js';
import { quietLog } from '../../tests/support/quiet-log.js';
import { seeded } from '../../tests/support/random.js';
import type { Verification } from '../verification.js';
import { newCounts, runSequence } from './run.js';

const SEQUENCES = 10_000;
/** Sequences at once: the database and this program take turns otherwise. */
const AT_ONCE = 6;
/** Findings that are printed. */
const SHOWN = 5;

/**
 * Model-based test of rollouts on a real Postgres: random sequences of looks, people's hands, replicas that come and go,
 * good and bad answers, jumps of the clock, looks that are delivered twice at once, and workers that die before any
 * statement. `--sequences N`, `--seed N`.
 */
export const rolloutModel: Verification = {
  name: 'rollout-model',
  summary: 'random histories of rollouts with crashes at every statement: never an illegal state, never lost traffic',
  async run({ args }) {
    const sequences = numberOf(args, '--sequences') ?? SEQUENCES;
    const seed = numberOf(args, '--seed') ?? 1;
    const folder = await mkdtemp(join(tmpdir(), 'sluice-rollout-model-'));
    // the server may run as another user than this program
    await chmod(folder, 0o755);
    const postgres = await startEmbeddedPostgres({ folder: join(folder, 'postgres'), log: quietLog });
    const database = openDatabase(postgres.url, quietLog, 2 * AT_ONCE + 2);
    const counts = newCounts();
    const wrongs: string[] = [];
    try {
      await migrate(database.db);
      // nothing here outlives the run
      await sql`alter system set synchronous_commit = off`.execute(database.db);
      await sql`select pg_reload_conf()`.execute(database.db);
      let next = 0;
      const work = async () => {
        while (next < sequences && wrongs.length < SHOWN) {
          const at = next++;
          wrongs.push(...(await runSequence(database.db, `e${at}`, seeded(seed * 1_000_003 + at), counts)));
        }
      };
      await Promise.all(Array.from({ length: AT_ONCE }, work));
    } finally {
      await database.close();
      await postgres.stop();
      await rm(folder, { recursive: true, force: true, maxRetries: 50, retryDelay: 100 });
    }
    const ends = Object.entries(counts.ends).map(([state, count]) => `${count} ${state.replace('_', ' ')}`);
    return {
      ok: wrongs.length === 0,
      figures: {
        sequences: counts.sequences,
        'steps checked': counts.steps,
        'workers that died': counts.crashes,
        'looks delivered twice at once': counts.duplicates,
        'jumps of the clock': counts.clockJumps,
        rollouts: ends.join(', '),
        'wrong states': wrongs.length,
        ...Object.fromEntries(wrongs.slice(0, SHOWN).map((wrong, at) => [`wrong ${at + 1} (seed ${seed})`, wrong])),
      },
      notRun: [],
    };
  },
};

function numberOf(args: readonly string[], name: string): number | undefined {
  const at = args.indexOf(name);
  return at === -1 ? undefined : Number(args[at + 1]);
}
