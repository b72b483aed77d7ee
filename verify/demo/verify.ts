/** The demo once on the embedded defaults and once on servers of its own: a Postgres and a Redis that it only has the URLs of. */
import { execFile } from 'node:child_process';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import type { Account } from '../../examples/demo/story.js';
import { childEnv } from '../../src/config.js';
import { createLog } from '../../src/log.js';
import { startEmbeddedPostgres } from '../../src/platform/db/embedded-postgres.js';
import { startRedis, whyNoRedis } from '../../tests/support/redis-server.js';
import type { Verification } from '../verification.js';

const exec = promisify(execFile);
const DEMO_MS = 300_000;

export const demo: Verification = {
  name: 'demo',
  summary: 'the demo on the embedded defaults, then with DATABASE_URL and REDIS_URL set to real servers',
  async run() {
    const figures: Record<string, string | number> = {};
    const notRun: string[] = [];
    let ok = true;
    const play = async (what: string, env: Record<string, string>) => {
      const account = await runDemo(env);
      ok &&= account.ok;
      for (const problem of account.problems) console.error(`${what}: ${problem}`);
      figures[`${what}: seconds`] = Number(account.seconds.toFixed(1));
      figures[`${what}: decisions`] = account.chapters.map((chapter) => chapter.decision).join(', ');
      figures[`${what}: predictions`] = account.traffic.sent;
      figures[`${what}: failed`] = account.traffic.failed;
      figures[`${what}: injected errors`] = account.traffic.injected;
    };
    await play('embedded', { DATABASE_URL: '', REDIS_URL: '' });
    const noRedis = whyNoRedis();
    if (noRedis !== undefined) {
      notRun.push(`with servers of its own: ${noRedis}`);
      return { ok, figures, notRun };
    }
    const folder = await mkdtemp(join(tmpdir(), 'sluice-verify-'));
    // run by root, the server belongs to another user, who must pass through
    await chmod(folder, 0o711);
    const log = createLog({ level: 'error', format: 'text' });
    const redis = await startRedis();
    const postgres = await startEmbeddedPostgres({ folder: join(folder, 'postgres'), log });
    try {
      await play('own servers', { DATABASE_URL: postgres.url, REDIS_URL: redis.url });
    } finally {
      await postgres.stop();
      await redis.stop();
      await rm(folder, { recursive: true, force: true });
    }
    return { ok, figures, notRun };
  },
};

async function runDemo(env: Record<string, string>): Promise<Account> {
  const args = [resolve('dist', 'demo.js'), '--once', '--json'];
  const { stdout } = await exec(process.execPath, args, {
    env: childEnv(env),
    timeout: DEMO_MS,
    maxBuffer: 2 ** 26,
  }).catch((error: { stdout?: string; message: string }) => {
    // it ends with 1 where something was not as it should be, and says what in the account
    if (error.stdout) return { stdout: error.stdout };
    throw error;
  });
  return JSON.parse(stdout) as Account;
}
