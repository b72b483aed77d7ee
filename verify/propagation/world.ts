/** Gateways and workers on one database, and an endpoint of six revisions among many. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sql } from 'kysely';
import { childEnv } from '../../src/config.js';
import type { Db } from '../../src/core/schema.js';
import type { ChildMessage } from '../../src/main/child.js';
import { program } from '../../src/main/paths.js';
import type { GatewayProcess } from '../../tests/support/gateway-process.js';
import { SETTINGS } from './judge.js';

export const ENDPOINT = 'moving';
const START_MS = 60_000;

/** Makes the endpoint whose traffic moves; its revisions are of a server that is somewhere else. */
export async function makeEndpoint({ client }: GatewayProcess, server: string): Promise<void> {
  const json = { files: [], server: { url: server, protocols: ['v2'], readyPath: '/' } };
  await client.post('/api/v1/models', { json: { name: ENDPOINT } });
  await client.post(`/api/v1/models/${ENDPOINT}/versions`, { json });
  const policy = { auto: false };
  await client.post('/api/v1/endpoints', { json: { name: ENDPOINT, model: ENDPOINT, version: 1, policy } });
  for (let revision = 2; revision <= SETTINGS.flat().length; revision++)
    await client.post(`/api/v1/endpoints/${ENDPOINT}/revisions`, { json: { version: 1 } });
}

/** Copies of the endpoint under other names, with two revisions each; every one is told of as if it had been made by hand. */
export async function makeNeighbours(db: Db, count: number): Promise<void> {
  await db.transaction().execute(async (tx) => {
    await sql`
      insert into endpoints
      select (jsonb_populate_record(e, jsonb_build_object('id', 'ep_near_' || n, 'name', 'near-' || n))).*
      from endpoints e, generate_series(1, ${count}) n where e.name = ${ENDPOINT}`.execute(tx);
    await sql`
      insert into revisions
      select (jsonb_populate_record(r, jsonb_build_object('endpoint_id', 'ep_near_' || n))).*
      from revisions r join endpoints e on e.id = r.endpoint_id, generate_series(1, ${count}) n
      where e.name = ${ENDPOINT} and r.number <= 2`.execute(tx);
    await sql`select pg_notify('sluice_routing', 'ep_near_' || n) from generate_series(1, ${count}) n`.execute(tx);
  });
}

export interface WorkerProcess {
  stop(): Promise<void>;
}

/** Starts a worker on the database; resolves when it works. */
export async function startWorker(databaseUrl: string): Promise<WorkerProcess> {
  const folder = await mkdtemp(join(tmpdir(), 'sluice-worker-'));
  const child = spawn(process.execPath, ['--enable-source-maps', program('worker')], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    env: childEnv({
      SLUICE_DATA_DIR: folder,
      SLUICE_CACHE_DIR: join(folder, 'cache'),
      SLUICE_LOG_LEVEL: 'error',
      DATABASE_URL: databaseUrl,
    }),
  });
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const stop = async () => {
    child.kill('SIGTERM');
    await exited;
    await rm(folder, { recursive: true, force: true });
  };
  await firstWord(child, exited).catch(async (error) => {
    await stop();
    throw error;
  });
  return { stop };
}

function firstWord(child: ChildProcess, exited: Promise<void>): Promise<void> {
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error(`no worker within ${START_MS} ms`)), START_MS);
    void exited.then(() => reject(new Error('the worker ended at its start')));
    child.once('message', (message: ChildMessage) => {
      clearTimeout(late);
      if (message.kind === 'failed') reject(new Error(message.error));
      else resolve();
    });
  });
}
