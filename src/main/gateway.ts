/** The gateway program: the HTTP door, its routing table, and the fleet of this machine. */
import type { AddressInfo, Server } from 'node:net';
import { join } from 'node:path';
import { getRequestListener } from '@hono/node-server';
import { systemClock } from '../clock.js';
import type { Config } from '../config.js';
import { ensureAdminKey, KeyTable } from '../core/access/store.js';
import type { RevisionStatus } from '../core/fleet.js';
import { newId } from '../core/id.js';
import { RoutingTable } from '../core/inference/routing-table.js';
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
import type { Services } from '../gateway/services.js';
import type { Log } from '../log.js';
import { createGatewayMetrics } from '../metrics.js';
import { openBlobs } from '../platform/blobs/open.js';
import { listen } from '../platform/db/listen.js';
import { migrate } from '../platform/db/migrate.js';
import { openDatabase } from '../platform/db/open.js';
import { createArtifacts } from '../platform/fleet/artifacts.js';
import { createLauncher } from '../platform/fleet/launcher.js';
import { createPreparation } from '../platform/fleet/preparation.js';
import { ProcessFleet } from '../platform/fleet/process-fleet.js';
import { createSandbox } from '../platform/fleet/sandbox.js';
import { Spares, type SparesOptions } from '../platform/fleet/spares.js';
import { PayloadLogThread } from '../platform/payload-log/payload-log-thread.js';
import { createEnvironments } from '../platform/python/environments.js';
import { openQueue } from '../platform/queue/open.js';
import { blobsOptions } from './blobs-options.js';
import { eventually } from './child.js';
import { runtimeArgs } from './engines.js';
import { program } from './paths.js';
import { StatusReport } from './status-report.js';

const DATABASE_WAIT_MS = 60_000;
const IDLE_LINE_MS = 120_000;
/** How long a stop waits for requests in flight before it cuts them (event streams among them). */
const CUT_MS = 5000;
/** How long a stop waits for what is recorded to be written. */
const RECORDS_MS = 5000;

/** Starts a gateway; resolves when it answers. */
export async function startGateway(config: Config, log: Log): Promise<{ url: string; stop(): Promise<void> }> {
  if (config.databaseUrl === undefined)
    throw new AppError('invalid', 'DATABASE_URL is not set: use `sluice up`, which brings a database along');
  const clock = systemClock;
  const id = newId('gw');
  const database = openDatabase(config.databaseUrl, log, 20);
  const { db } = database;
  const [engineArgs, blobs, queue] = await Promise.all([
    runtimeArgs(config),
    openBlobs(config.blobsUrl, blobsOptions(config)),
    openQueue({ databaseUrl: config.databaseUrl, log, ...(config.redisUrl ? { redisUrl: config.redisUrl } : {}) }),
  ]);
  const artifacts = createArtifacts(join(config.cacheDir, 'artifacts'), blobs);
  const { python, baseEnv } = config.training;
  const environments = createEnvironments({ cacheFolder: join(config.cacheDir, 'environments'), python, baseEnv });
  const preparation = createPreparation(environments, log);
  const launch: SparesOptions = {
    script: program('runtime'),
    maxBodyBytes: config.limits.bodyBytes,
    drainMs: config.limits.drainMs,
    startTimeoutMs: 30_000,
    env: baseEnv,
    engineArgs,
    log,
    clock,
    count: config.spares,
  };
  const report = new StatusReport(db, id, log);
  const spares = new Spares(launch);
  const launcher = (from: Spares) =>
    createLauncher({
      spares: from,
      artifacts,
      prepare: preparation.prepare,
      env: baseEnv,
      drainMs: config.limits.drainMs,
      log,
    });
  const metrics = createGatewayMetrics(() => fleet.status());
  const fleet: ProcessFleet = new ProcessFleet({
    launcher: launcher(spares),
    clock,
    log,
    queueLimit: config.limits.queueLimit,
    onStatus: (status: RevisionStatus) => report.changed(status),
    onColdStart({ endpoint, number }, waitMs, phases) {
      for (const [phase, ms] of Object.entries({ wait: waitMs, ...phases }))
        metrics.coldStart.observe({ endpoint, revision: String(number), phase }, ms / 1000);
    },
  });
  const payloadLog = new PayloadLogThread({
    script: program('payload-log'),
    thread: { blobsUrl: config.blobsUrl, blobs: blobsOptions(config), log: config.log },
    bufferBytes: config.payloadLogBufferBytes,
    log,
    onWritten: (endpoint, count) => metrics.payloadLogWritten.inc({ endpoint }, count),
    onDropped: (endpoint, reason, count) => metrics.payloadLogDropped.inc({ endpoint, reason }, count),
  });
  const routing = new RoutingTable((endpointId, route) => {
    if (route && !route.suspended) fleet.sync(route);
    else fleet.forget(endpointId);
  });
  const keys = new KeyTable();
  const statistics = new Statistics(id);
  const notifications = new Notifications();
  const state = { listening: false, stopping: false };

  const services: Services = {
    db,
    blobs,
    fleet,
    sandbox: createSandbox(launcher(new Spares({ ...launch, count: 0 }))),
    enqueue: queue.enqueue,
    keys,
    routing,
    statistics,
    metrics,
    payloadLog,
    notifications,
    limits: config.limits,
    clock,
    log,
    readiness() {
      const checks = {
        routing: routing.loaded ? 'ok' : 'not read yet',
        database: state.listening ? 'ok' : 'away: predictions go on with the last routing, changes wait',
        gateway: state.stopping ? 'stopping' : 'ok',
      };
      // a gateway that lost its database still serves; one that never read its routing cannot
      return { ready: routing.loaded && !state.stopping, checks };
    },
  };

  const reload = async () => {
    await Promise.all([routing.reload(db), keys.reload(db)]);
  };
  spares.start();
  await eventually('the database cannot be used', DATABASE_WAIT_MS, log, () => migrate(db));
  if (config.adminKey) await ensureAdminKey(db, config.adminKey);
  await reload();

  const attempt = (what: string, work: Promise<unknown>) =>
    void work.catch((error) => log.warn(`${what} failed; it is tried again`, { error: messageOf(error) }));
  const listener = listen(
    config.databaseUrl,
    ['sluice_routing', 'sluice_keys', 'sluice_events', 'sluice_logs'],
    {
      onNotify(channel, payload) {
        if (channel === 'sluice_routing') attempt('reading the routing', routing.refresh(db, payload));
        else if (channel === 'sluice_keys') attempt('reading the keys', keys.reload(db));
        else notifications.wake(channel === 'sluice_logs' ? `logs/${payload}` : `events/${payload}`);
      },
      onConnect() {
        state.listening = true;
        attempt('reading the routing', reload());
        notifications.wakeAll();
      },
      onDisconnect() {
        state.listening = false;
      },
    },
    { clock, log },
  );
  const flushing = setInterval(() => attempt('writing statistics', statistics.flush(db, clock.now())), 1000);
  // a notification can be lost in ways nobody thought of; a slow full read bounds how long that matters
  const rereading = setInterval(() => attempt('reading the routing', reload()), 30_000);

  const app = createApp(services);
  const plane = createPlane(services);
  const grpc = new GrpcConnections({
    maxMessageBytes: config.limits.bodyBytes,
    onCall: createGrpcDoor(plane),
    onFault: (error, requestId) => log.error('a gRPC call failed', { requestId, error }),
  });
  const { server, close } = createFront({
    takes: isDataPath,
    grpc,
    dataPlane: createDataPlane(plane),
    control: getRequestListener(app.fetch, { overrideGlobalObjects: false }),
    maxConnections: config.limits.maxConnections,
    bodyTimeoutMs: config.limits.predictTimeoutMs,
    // event streams send a heartbeat, uploads and predictions have limits of their own
    idleMs: Math.max(IDLE_LINE_MS, config.limits.predictTimeoutMs + 30_000),
  });
  const url = `http://${await listenOn(server, config.host, config.port)}`;
  const grpcServer = config.grpcPort === undefined ? undefined : grpc.listener(config.limits.maxConnections);
  const grpcAddress = grpcServer && (await listenOn(grpcServer, config.host, config.grpcPort ?? 0));
  log.info('gateway listening', { url, gateway: id, ...(grpcAddress ? { grpc: grpcAddress } : {}) });

  return {
    url,
    async stop() {
      state.stopping = true;
      clearInterval(flushing);
      clearInterval(rereading);
      preparation.close();
      grpcServer?.close();
      await close(Math.min(config.limits.drainMs, CUT_MS));
      await Promise.all([fleet.close(), payloadLog.close(Math.min(config.limits.drainMs, RECORDS_MS))]);
      await services.sandbox.close();
      await Promise.allSettled([statistics.flush(db, clock.now(), true), report.close(), listener.close()]);
      await queue.close();
      await database.close();
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
