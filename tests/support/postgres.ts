import { execFile } from 'node:child_process';
import { chmod, mkdir, mkdtemp, rename, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import pg from 'pg';
import { afterAll } from 'vitest';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../src/platform/db/embedded-postgres.js';
import { quietLog } from './quiet-log.js';

const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const TEMPLATE = join(ROOT, 'node_modules', '.cache', 'sluice-tests', 'postgres-18');

let server: Promise<EmbeddedPostgres> | undefined;
let folder: string | undefined;
let count = 0;

/**
 * One real Postgres per test file, started at the first call and stopped after the file's tests. Its folder is a copy of
 * a fresh one made once (initdb is the slow part), so test files and test runs share nothing.
 */
export function testPostgres(): Promise<EmbeddedPostgres> {
  server ??= start();
  return server;
}

afterAll(async () => {
  const started = await server?.catch(() => undefined);
  await started?.stop();
  if (folder !== undefined)
    await rm(dirname(folder), { recursive: true, force: true, maxRetries: 50, retryDelay: 100 });
});

async function start(): Promise<EmbeddedPostgres> {
  if (!(await stat(TEMPLATE).catch(() => undefined))) await makeTemplate();
  folder = join(await mkdtemp(join(tmpdir(), 'sluice-pg-')), 'server');
  await chmod(dirname(folder), 0o755);
  await copy(TEMPLATE, folder);
  return startEmbeddedPostgres({ folder, log: quietLog });
}

async function makeTemplate(): Promise<void> {
  // made where the server's user can reach it, and moved into place whole, since several test files may do it at once
  const draft = await mkdtemp(join(tmpdir(), 'sluice-pg-template-'));
  const first = await startEmbeddedPostgres({ folder: draft, log: quietLog });
  await first.stop();
  await mkdir(dirname(TEMPLATE), { recursive: true });
  const beside = `${TEMPLATE}.${process.pid}`;
  await rm(join(draft, 'port'), { force: true });
  await copy(draft, beside);
  await rm(draft, { recursive: true, force: true, maxRetries: 50, retryDelay: 100 });
  await rename(beside, TEMPLATE).catch(() =>
    rm(beside, { recursive: true, force: true, maxRetries: 50, retryDelay: 100 }),
  );
}

/** With owners and modes, which the server insists on. */
async function copy(from: string, to: string): Promise<void> {
  await promisify(execFile)('cp', ['-a', from, to]);
}

/** The connection string of a new, empty database of its own. */
export async function freshDatabase(): Promise<string> {
  const { url } = await testPostgres();
  const name = `t${process.pid}_${count++}`;
  const client = new pg.Client(url);
  await client.connect();
  try {
    await client.query(`CREATE DATABASE ${name}`);
  } finally {
    await client.end();
  }
  const fresh = new URL(url);
  fresh.pathname = `/${name}`;
  return fresh.href;
}
