/**
 * The real gateway program on a Postgres of its own, in a temporary folder, driven over HTTP: for tests, verifications and
 * benchmarks. Needs a built dist/. No worker runs; models are uploaded and served by hand.
 */
import { spawn } from 'node:child_process';
import { chmod, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SluiceClient } from '../../src/cli/client.js';
import { childEnv } from '../../src/config.js';
import { newKey } from '../../src/core/access/key.js';
import { AppError } from '../../src/errors.js';
import { createLog } from '../../src/log.js';
import type { ChildMessage } from '../../src/main/child.js';
import { program } from '../../src/main/paths.js';
import { startEmbeddedPostgres } from '../../src/platform/db/embedded-postgres.js';

export interface GatewayProcessOptions {
  /** Settings of the gateway, over the test's own. */
  readonly env?: Readonly<Record<string, string>>;
  /** The only core that the gateway and its model servers may use (taskset); undefined: any. */
  readonly core?: number | undefined;
  /** Arguments for node, such as --cpu-prof. */
  readonly nodeArgs?: readonly string[];
  /** Where its temporary folder is made. Default: the system's. */
  readonly parentFolder?: string;
}

export interface ServeOptions {
  readonly access?: 'key' | 'public';
  readonly scaling?: Readonly<Record<string, number>>;
  readonly routing?: Readonly<Record<string, unknown>>;
  readonly runtime?: Readonly<Record<string, unknown>>;
  readonly payloadLog?: Readonly<Record<string, unknown>>;
  readonly responseCache?: Readonly<Record<string, unknown>>;
}

export interface GatewayProcess {
  readonly url: string;
  /** Of the gateway, the parent of its model servers. */
  readonly pid: number;
  readonly postgresPid: number;
  readonly databaseUrl: string;
  /** The administrator's. */
  readonly key: string;
  readonly client: SluiceClient;
  /** Registers a version of a model and returns its number. */
  upload(model: string, bytes: Buffer): Promise<number>;
  /** Serves a version under an endpoint with all traffic. */
  serve(endpoint: string, model: string, version: number, options?: ServeOptions): Promise<void>;
  /** Ends the gateway and its model servers; its database stays. */
  end(): Promise<void>;
  /** Starts an ended gateway again at the same address; resolves when it answers. */
  begin(): Promise<void>;
  /** Ends everything and removes its folder. */
  stop(): Promise<void>;
}

const START_MS = 60_000;

export async function startGatewayProcess(options: GatewayProcessOptions = {}): Promise<GatewayProcess> {
  const folder = await mkdtemp(join(options.parentFolder ?? tmpdir(), 'sluice-gateway-'));
  // when root runs this, Postgres is run by another user, who must be able to pass through
  await chmod(folder, 0o711);
  await mkdir(join(folder, 'blobs'));
  const log = createLog({ level: 'error', format: 'text' });
  const postgres = await startEmbeddedPostgres({ folder: join(folder, 'postgres'), log });
  const key = newKey();
  const env = {
    SLUICE_DATA_DIR: folder,
    SLUICE_CACHE_DIR: join(folder, 'cache'),
    SLUICE_LOG_LEVEL: 'error',
    SLUICE_ADMIN_KEY: key,
    DATABASE_URL: postgres.url,
    ...options.env,
  };
  let gateway = launch(options, { SLUICE_PORT: '0', ...env });
  const stop = async () => {
    await gateway.stop();
    await postgres.stop();
    await rm(folder, { recursive: true, force: true });
  };
  const orStop = async (error: unknown) => {
    await stop();
    throw error;
  };
  const url = await gateway.ready.catch(orStop);
  const client = new SluiceClient({ url, key });
  return {
    url,
    key,
    client,
    get pid() {
      return gateway.pid;
    },
    postgresPid: postgres.pid,
    databaseUrl: postgres.url,
    stop,
    end: () => gateway.stop(),
    async begin() {
      gateway = launch(options, { SLUICE_PORT: new URL(url).port, ...env });
      await gateway.ready.catch(orStop);
    },
    async upload(model, bytes) {
      const stream = {
        bytes: bytes.length,
        async *open() {
          yield bytes;
        },
      };
      const { body } = await client.post<{ version: number }>(`/api/v1/models/${model}/versions`, { stream });
      return body.version;
    },
    async serve(endpoint, model, version, serving = {}) {
      await client.post('/api/v1/endpoints', { json: { name: endpoint, model, version, ...serving } });
      await routed(client, endpoint);
    },
  };
}

interface RunningGateway {
  readonly pid: number;
  /** Its URL, once it answers. */
  readonly ready: Promise<string>;
  stop(): Promise<void>;
}

function launch(options: GatewayProcessOptions, env: Readonly<Record<string, string>>): RunningGateway {
  const node = [process.execPath, '--enable-source-maps', ...(options.nodeArgs ?? []), program('gateway')];
  const [command = '', ...args] = options.core === undefined ? node : ['taskset', '-c', String(options.core), ...node];
  const child = spawn(command, args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'], env: childEnv(env) });
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const ready = new Promise<string>((resolve, reject) => {
    const late = setTimeout(() => reject(new AppError('timeout', `no gateway within ${START_MS} ms`)), START_MS);
    void exited.then(() => {
      clearTimeout(late);
      reject(new AppError('internal', 'the gateway ended at its start'));
    });
    child.once('message', (message: ChildMessage) => {
      clearTimeout(late);
      if (message.kind === 'ready') resolve(message.url ?? '');
      else reject(new AppError('internal', message.error));
    });
  });
  return {
    pid: child.pid ?? 0,
    ready,
    async stop() {
      child.kill('SIGTERM');
      await exited;
    },
  };
}

/** Waits until the gateway's routing, which follows the database by notification, knows the endpoint. */
async function routed(client: SluiceClient, endpoint: string): Promise<void> {
  const until = Date.now() + 10_000;
  while (
    !(await client.get(`/v2/models/${endpoint}/ready`).then(
      () => true,
      () => false,
    ))
  ) {
    if (Date.now() > until) throw new AppError('timeout', `endpoint "${endpoint}" was not routed within 10 s`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
