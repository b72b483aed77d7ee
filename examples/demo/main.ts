/**
 * npm run demo [-- --once] [-- --json]
 *
 * Starts a platform of its own in a temporary folder and plays the whole story on it. Stays up afterwards, to be looked
 * at, unless `--once` is given; `--json` prints the account as JSON and nothing else on stdout.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { SluiceClient } from '../../src/cli/client.js';
import { childEnv, loadConfig } from '../../src/config.js';
import { createLog } from '../../src/log.js';
import { startPlatform } from '../../src/main/supervisor.js';
import { renderAccount } from './account.js';
import { runStory } from './story.js';

const { values: flags } = parseArgs({
  options: {
    once: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    port: { type: 'string', default: '0' },
  },
});

const began = performance.now();
const tell = (line: string) =>
  process.stderr.write(`[${((performance.now() - began) / 1000).toFixed(1).padStart(5)} s] ${line}\n`);

async function main(): Promise<number> {
  const dataDir = await mkdtemp(join(tmpdir(), 'sluice-demo-'));
  const settings = {
    SLUICE_DATA_DIR: dataDir,
    SLUICE_PORT: flags.port,
    SLUICE_LOG_LEVEL: process.env.SLUICE_LOG_LEVEL ?? 'error',
    SLUICE_ADMIN_KEY: '',
  };
  // the supervisor hands its own environment on to the programs that it starts
  Object.assign(process.env, settings);
  const config = loadConfig(childEnv(settings));
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => stop.abort(new Error(`ended by ${signal}`)));
  const interrupted = new Promise<never>((_, reject) =>
    stop.signal.addEventListener('abort', () => reject(stop.signal.reason)),
  );
  interrupted.catch(() => {});
  const starting = startPlatform(config, createLog(config.log, { program: 'supervisor' }));
  let platform: Awaited<typeof starting> | undefined;
  try {
    platform = await Promise.race([starting, interrupted]);
    tell(`Sluice is up at ${platform.url}`);
    const client = new SluiceClient({ url: platform.url, key: platform.adminKey });
    const folder = fileURLToPath(new URL('../examples/digits', import.meta.url));
    const name = await freeName(client);
    const account = await Promise.race([runStory({ client, key: platform.adminKey, folder, name, tell }), interrupted]);
    process.stdout.write(flags.json ? `${JSON.stringify(account, null, 2)}\n` : renderAccount(account));
    if (!flags.once) {
      process.stderr.write(`\nStill up at ${platform.url} (admin key ${platform.adminKey}); Ctrl-C ends it.\n`);
      await interrupted.catch(() => {});
    }
    return account.ok ? 0 : 1;
  } finally {
    await starting.then((running) => running.stop()).catch(() => {});
    await rm(dataDir, { recursive: true, force: true });
  }
}

/** A database of the user's own may have seen the demo before. */
async function freeName(client: SluiceClient): Promise<string> {
  for (let n = 1; ; n++) {
    const name = n === 1 ? 'digits' : `digits-${n}`;
    if (!(await client.exists(`/api/v1/models/${name}`))) return name;
  }
}

main().then(
  (code) => process.exit(code),
  (error) => {
    process.stderr.write(`the demo failed: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exit(1);
  },
);
