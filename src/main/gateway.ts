/** The gateway program: its doors, its routing table, and a fleet, of its own or of the process that leads it. */
import type { AddressInfo, Server } from 'node:net';
import { getRequestListener } from '@hono/node-server';
import { systemClock } from '../clock.js';
import type { Config } from '../config.js';
import { ensureAdminKey, KeyTable } from '../core/access/store.js';
import type { Fleet } from '../core/fleet.js';
import { newId } from '../core/id.js';
import { Observations } from '../core/inference/observations.js';
import { ResponseCaches } from '../core/inference/response-cache/response-caches.js';
import { RoutingTable } from '../core/inference/routing-table.js';
import { Shadows } from '../core/inference/shadow/shadows.js';
import { Statistics } from '../core/inference/statistics.js';
import { AppError, messageOf } from '../errors.js';
import { createApp } from '../gateway/app.js';
import { createDataPlane } from '../gateway/data-plane/data-plane.js';
import { createGrpcDoor } from '../gateway/data-plane/grpc-door.js';
import { isDataPath } from '../gateway/data-plane/paths.js';
import { createPlane } from '../gateway/data-plane/plane.js';
import { GrpcConnections } from '../gateway/grpc/connections.js';
import { createFront } from '../gateway/http/front.js';
import { Notifications } from '../gateway/notifications.js';
import { onUnroutable } from '../gateway/on-error.js';
import type { Services } from '../gateway/services.js';
import type { Log } from '../log.js';
import { createGatewayMetrics, type GatewayMetrics, type PrintedMetrics } from '../metrics.js';
import { openBlobs } from '../platform/blobs/open.js';
import { migrate } from '../platform/db/migrate.js';
import { openDatabase } from '../platform/db/open.js';
import { createSandbox } from '../platform/fleet/sandbox.js';
import { PayloadLogThread } from '../platform/payload-log/payload-log-thread.js';
import { openQueue } from '../platform/queue/open.js';
import { openRedisCache } from '../platform/response-cache/redis-cache.js';
import { Announcement, reachable } from './announcement.js';
import { blobsOptions } from './blobs-options.js';
import { eventually } from './child.js';
import { follow } from './follow.js';
import { type LocalFleetOptions, openLocalFleet } from './local-fleet.js';
import { openModelServers } from './model-servers.js';
import { program } from './paths.js';
import { openPodIdentity } from './pod-identity.js';

const DATABASE_WAIT_MS = 60_000;
const IDLE_LINE_MS = 120_000;
/** How long a stop waits for requests in flight before it cuts them (event streams among them). */
const CUT_MS = 5000;
/** How long a stop waits for what is recorded to be written. */
const RECORDS_MS = 5000;

export interface Gateway {
  readonly url: string;
  stop(): Promise<void>;
}

/** The fleet that a gateway uses. */
export interface GatewayFleet {
  readonly fleet: Fleet;
  /** The metrics of all who share the fleet; undefined: those of this process are all. */
  printMetrics?(): Promise<PrintedMetrics>;
  close(): Promise<void>;
}

/** Starts a gateway; resolves when it answers. `openFleet`: where it has none of its own. */
export async function startGateway(
  config: Config,
  log: Log,
  openFleet: (options: LocalFleetOptions) => GatewayFleet = openLocalFleet,
): Promise<Gateway> {
  const databaseUrl = requireDatabase(config);
  const clock = systemClock;
  const id = newId('gw');
  const database = openDatabase(
    databaseUrl,
    log,
    Math.max(4, Math.ceil(DATABASE_CONNECTIONS / config.gatewayProcesses)),
  );
  const { db } = database;
  const [blobs, queue] = await Promise.all([
    openBlobs(config.blobsUrl, blobsOptions(config)),
    openQueue({ databaseUrl, log, ...(config.redisUrl ? { redisUrl: config.redisUrl } : {}) }),
  ]);
  const servers = await openModelServers(config, { blobs, clock, log });
  const pods = await openPodIdentity(config, clock, log);
  const metrics = createGatewayMetrics({
    fleet: () => (shared.printMetrics ? [] : fleet.status()),
    responseCaches: () => caches.bytes(),
  });
  const { redisUrl } = config;
  const sharedCache = redisUrl === undefined ? undefined : await openRedisCache({ url: redisUrl, clock, log });
  const caches = new ResponseCaches({ clock, metrics: metrics.responseCache, shared: sharedCache });
  const shared: GatewayFleet = openFleet({ config, servers, db, id, metrics: () => metrics, clock, log });
  const { fleet } = shared;
  const payloadLog = openPayloadLog(config, metrics, log);
  const routing = new RoutingTable((endpointId, route) => {
    if (route && !route.suspended) fleet.sync(route);
    else fleet.forget(endpointId);
    caches.sync(endpointId, route);
    if (!route) shadows.forget(endpointId);
  });
  const keys = new KeyTable();
  const statistics = new Statistics(id);
  const observations = new Observations(id);
  const shadows = new Shadows({
    metrics: metrics.shadow,
    processes: config.gatewayProcesses,
    random: Math.random,
    observations,
    clock,
  });
  const notifications = new Notifications();
  let stopping = false;
  await prepareDatabase(config, db, log);
  const following = await follow({ databaseUrl, db, routing, keys, notifications, clock, log });

  const services: Services = {
    db,
    blobs,
    fleet,
    sandbox: createSandbox(servers.launcher(0), config.fleet === 'knative'),
    enqueue: queue.enqueue,
    keys,
    routing,
    statistics,
    observations,
    metrics,
    caches,
    shadows,
    payloadLog,
    printMetrics: () => shared.printMetrics?.() ?? metrics.print(),
    notifications,
    pods: pods.identity,
    limits: config.limits,
    asynchronous: config.asynchronous,
    clock,
    log,
    readiness() {
      const checks = {
        routing: routing.loaded ? 'ok' : 'not read yet',
        database: following.listening ? 'ok' : 'away: predictions go on with the last routing, changes wait',
        gateway: stopping ? 'stopping' : 'ok',
      };
      // a gateway that lost its database still serves; one that never read its routing cannot
      return { ready: routing.loaded && !stopping, checks };
    },
  };
  const flushing = setInterval(() => {
    Promise.all([statistics.flush(db, clock.now()), observations.flush(db, clock.now())]).catch((error) =>
      log.warn('writing statistics failed; it is tried again', { error: messageOf(error) }),
    );
  }, 1000);

  const doors = await openDoors(config, services);
  const announcement = new Announcement(db, { id, url: config.advertiseUrl ?? reachable(doors.url), log });
  log.info('gateway listening', { url: doors.url, gateway: id, ...(doors.grpc ? { grpc: doors.grpc } : {}) });

  return {
    url: doors.url,
    async stop() {
      stopping = true;
      await announcement.close();
      clearInterval(flushing);
      servers.close();
      await doors.close(Math.min(config.limits.drainMs, CUT_MS));
      await Promise.all([shared.close(), payloadLog.close(Math.min(config.limits.drainMs, RECORDS_MS))]);
      sharedCache?.close();
      await pods.close();
      await services.sandbox.close();
      await Promise.allSettled([
        statistics.flush(db, clock.now(), true),
        observations.flush(db, clock.now(), true),
        following.close(),
      ]);
      await queue.close();
      await database.close();
    },
  };
}

function openPayloadLog(config: Config, metrics: GatewayMetrics, log: Log): PayloadLogThread {
  return new PayloadLogThread({
    script: program('payload-log'),
    thread: { blobsUrl: config.blobsUrl, blobs: blobsOptions(config), log: config.log },
    bufferBytes: config.payloadLogBufferBytes / config.gatewayProcesses,
    log,
    onWritten: (endpoint, count) => metrics.payloadLogWritten.inc({ endpoint }, count),
    onDropped: (endpoint, reason, count) => metrics.payloadLogDropped.inc({ endpoint, reason }, count),
  });
}

/** Of all processes of one gateway together. */
const DATABASE_CONNECTIONS = 20;

export function requireDatabase({ databaseUrl }: Config): string {
  if (databaseUrl !== undefined) return databaseUrl;
  throw new AppError('invalid', 'DATABASE_URL is not set: use `sluice up`, which brings a database along');
}

/** Waits for the database, and brings it up to date. */
export async function prepareDatabase(config: Config, db: Services['db'], log: Log): Promise<void> {
  await eventually('the database cannot be used', DATABASE_WAIT_MS, log, () => migrate(db));
  if (config.adminKey) await ensureAdminKey(db, config.adminKey);
}

interface Doors {
  readonly url: string;
  /** Of the port for gRPC alone. */
  readonly grpc: string | undefined;
  close(cutMs: number): Promise<void>;
}

async function openDoors(config: Config, services: Services): Promise<Doors> {
  const { log } = services;
  const { maxConnections, predictTimeoutMs, bodyBytes } = config.limits;
  const app = createApp(services);
  const plane = createPlane(services);
  const grpc = new GrpcConnections({
    maxMessageBytes: bodyBytes,
    onCall: createGrpcDoor(plane),
    onFault: (error, requestId) => log.error('a gRPC call failed', { requestId, error }),
  });
  const front = createFront({
    takes: isDataPath,
    grpc,
    dataPlane: createDataPlane(plane),
    control: getRequestListener(app.fetch, { overrideGlobalObjects: false, errorHandler: onUnroutable(log) }),
    maxConnections,
    bodyTimeoutMs: predictTimeoutMs,
    // event streams send a heartbeat, uploads and predictions have limits of their own
    idleMs: Math.max(IDLE_LINE_MS, predictTimeoutMs + 30_000),
  });
  const url = `http://${await listenOn(front.server, config.host, config.port)}`;
  const grpcServer = config.grpcPort === undefined ? undefined : grpc.listener(maxConnections);
  return {
    url,
    grpc: grpcServer && (await listenOn(grpcServer, config.host, config.grpcPort ?? 0)),
    async close(cutMs) {
      grpcServer?.close();
      await front.close(cutMs);
    },
  };
}

/** Listens; resolves to the address, with the port that was taken. */
async function listenOn(server: Server, host: string, wanted: number): Promise<string> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) =>
      reject(new AppError('invalid', `cannot listen on ${host}:${wanted}: ${error.message}`)),
    );
    server.listen(wanted, host, resolve);
  });
  const { address, port, family } = server.address() as AddressInfo;
  return `${family === 'IPv6' ? `[${address}]` : address}:${port}`;
}
