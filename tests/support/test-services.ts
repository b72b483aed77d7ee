/** The gateway's services on real parts: Postgres, a blob folder, model servers as processes. Only the queue is a list. */
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll } from 'vitest';
import { systemClock } from '../../src/clock.js';
import { createKey, KeyTable } from '../../src/core/access/store.js';
import type { RevisionStatus } from '../../src/core/fleet.js';
import { Observations } from '../../src/core/inference/observations.js';
import { ResponseCaches } from '../../src/core/inference/response-cache/response-caches.js';
import { RoutingTable } from '../../src/core/inference/routing-table.js';
import { Shadows } from '../../src/core/inference/shadow/shadows.js';
import { Statistics } from '../../src/core/inference/statistics.js';
import type { Enqueue } from '../../src/core/jobs.js';
import { NO_PAYLOAD_LOG } from '../../src/core/payload-log/payload-log.js';
import type { PodIdentity } from '../../src/core/pods/identity.js';
import type { Db } from '../../src/core/schema.js';
import { createApp } from '../../src/gateway/app.js';
import { Notifications } from '../../src/gateway/notifications.js';
import type { Services } from '../../src/gateway/services.js';
import { createLog } from '../../src/log.js';
import { createGatewayMetrics } from '../../src/metrics.js';
import { type BlobsOptions, openBlobs } from '../../src/platform/blobs/open.js';
import { listen } from '../../src/platform/db/listen.js';
import { migrate } from '../../src/platform/db/migrate.js';
import { openDatabase } from '../../src/platform/db/open.js';
import { createArtifacts } from '../../src/platform/fleet/artifacts.js';
import { createSandbox } from '../../src/platform/fleet/sandbox.js';
import { Spares } from '../../src/platform/fleet/spares.js';
import { onlyKnownKinds } from './known-kinds.js';
import { launcherOf } from './launcher.js';
import { freshDatabase } from './postgres.js';

/** Who makes a request: nobody, a key that may predict, an administrator, another project's administrator. */
export type As = 'guest' | 'predict' | 'admin' | 'other';

export interface TestGateway {
  readonly services: Services;
  readonly app: ReturnType<typeof createApp>;
  readonly db: Db;
  /** Keys by who uses them. */
  readonly keys: Readonly<Record<Exclude<As, 'guest'>, string>>;
  /** What was given to the queue. */
  readonly queued: { name: string; data: unknown; id: string }[];
  /** What was logged, one JSON object a line. */
  readonly logged: string[];
  /** Whether the queue takes anything. */
  queueAway: boolean;
  /** What a fleet would say. */
  statuses: RevisionStatus[];
  /** Files of half-done uploads. */
  leftovers(): Promise<string[]>;
  /** A request to the app, without a socket. An object as body is sent as JSON. */
  call(as: As, method: string, url: string, body?: unknown, headers?: Record<string, string>): Promise<Response>;
}

// registered while the file is collected: a hook that a hook registers never runs
const closers: (() => Promise<void>)[] = [];
afterAll(async () => {
  for (const close of closers.splice(0)) await close();
});

/** What a test brings along. */
export interface GatewayParts {
  /** Who knows pods. */
  readonly pods?: PodIdentity;
  /** Where blobs are kept instead of a folder. */
  readonly blobsUrl?: string;
  readonly credentials?: BlobsOptions['credentials'];
}

/** Starts the services; they end after the file's tests. */
export async function testGateway(
  limits: Partial<Services['limits']> = {},
  { pods, blobsUrl, credentials }: GatewayParts = {},
): Promise<TestGateway> {
  const logged: string[] = [];
  const log = createLog({ level: 'info', format: 'json', write: (line) => logged.push(line) });
  const url = await freshDatabase();
  const { db, close } = openDatabase(url, log);
  await migrate(db);
  await db.insertInto('projects').values({ name: 'elsewhere' }).execute();
  const make = async (project: string, role: 'admin' | 'predict', name: string) =>
    (await createKey(db, { project, role, name })).key;
  const keys = {
    admin: await make('default', 'admin', 'ada'),
    predict: await make('default', 'predict', 'app'),
    other: await make('elsewhere', 'admin', 'eve'),
  };
  const table = new KeyTable();
  await table.reload(db);

  const folder = await mkdtemp(join(tmpdir(), 'sluice-gateway-'));
  const blobs = await openBlobs(blobsUrl ?? join(folder, 'blobs'), {
    cacheFolder: join(folder, 'cache'),
    ...(credentials === undefined ? {} : { credentials }),
  });
  const spares = new Spares({
    count: 0,
    clock: systemClock,
    log,
    script: fileURLToPath(new URL('../../dist/runtime.js', import.meta.url)),
    maxBodyBytes: 2 ** 24,
    drainMs: 1000,
    startTimeoutMs: 20_000,
    env: {},
  });
  const sandbox = createSandbox(launcherOf(spares, createArtifacts(join(folder, 'artifacts'), blobs)));
  const notifications = new Notifications();
  const routing = new RoutingTable();
  const listener = listen(
    url,
    ['sluice_keys', ...Notifications.channels],
    {
      onConnect: () => notifications.wakeAll(),
      onNotify(channel, payload) {
        if (channel === 'sluice_keys') void table.reload(db);
        else notifications.notified(channel, payload);
      },
    },
    { clock: systemClock, log },
  );

  const queued: TestGateway['queued'] = [];
  const enqueue: Enqueue = async (name, data, { id }) => {
    if (gateway.queueAway) throw new Error('the queue is away');
    queued.push({ name, data, id });
  };
  const observations = new Observations('test');
  const metrics = createGatewayMetrics({ fleet: () => gateway.statuses, responseCaches: () => [] });
  const services: Services = {
    db,
    blobs,
    pods,
    sandbox,
    enqueue,
    routing,
    notifications,
    log,
    keys: table,
    clock: systemClock,
    payloadLog: NO_PAYLOAD_LOG,
    statistics: new Statistics('test'),
    observations,
    metrics,
    shadows: new Shadows({
      metrics: metrics.shadow,
      processes: 1,
      random: Math.random,
      observations,
      clock: systemClock,
    }),
    caches: new ResponseCaches({
      clock: systemClock,
      metrics: createGatewayMetrics({ fleet: () => [], responseCaches: () => [] }).responseCache,
    }),
    printMetrics: () => services.metrics.print(),
    fleet: {
      sync: () => {},
      forget: () => {},
      inFlight: () => 0,
      lease: () => {
        throw new Error('nothing is served here');
      },
      replicas: () => [],
      status: () => gateway.statuses,
      close: async () => {},
    },
    limits: { bodyBytes: 2 ** 20, uploadBytes: 2 ** 24, predictTimeoutMs: 5000, apiTimeoutMs: 5000, ...limits },
    asynchronous: { deadlineMs: 60_000, queueLimit: 1000, webhooksToPrivate: false },
    readiness: () => ({ ready: true, checks: { database: 'ok' } }),
  };
  const app = createApp(services);
  const gateway: TestGateway = {
    services,
    app,
    db,
    keys,
    queued,
    logged,
    queueAway: false,
    statuses: [],
    leftovers: () => readdir(join(folder, 'blobs', 'tmp')),
    async call(as, method, path, body, headers = {}) {
      const raw = body === undefined || typeof body === 'string' || body instanceof Uint8Array;
      return app.request(path, {
        method,
        ...(body === undefined ? {} : { body: raw ? (body as string) : JSON.stringify(body) }),
        headers: {
          ...(as === 'guest' ? {} : { authorization: `Bearer ${keys[as]}` }),
          ...(body === undefined ? {} : { 'content-type': raw ? 'application/octet-stream' : 'application/json' }),
          ...headers,
        },
      });
    },
  };

  closers.push(async () => {
    await listener.close();
    await sandbox.close();
    await onlyKnownKinds(db);
    await close();
    await rm(folder, { recursive: true, force: true });
  });
  return gateway;
}
