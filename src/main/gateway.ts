/** The gateway program: the HTTP door, its routing table, and the fleet of this machine. */
import type { AddressInfo } from 'node:net';
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
import { isDataPath } from '../gateway/data-plane/paths.js';
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
import { ProcessFleet } from '../platform/fleet/process-fleet.js';
import { createSandbox } from '../platform/fleet/sandbox.js';
import { Spares, type SparesOptions } from '../platform/fleet/spares.js';
import { openQueue } from '../platform/queue/open.js';
import { Announcement, reachable } from './announcement.js';
import { blobsOptions } from './blobs-options.js';
import { eventually } from './child.js';
import { program } from './paths.js';
import { StatusReport } from './status-report.js';

const DATABASE_WAIT_MS = 60_000;
const IDLE_LINE_MS = 120_000;
/** How long a stop waits for requests in flight before it cuts them (event streams among them). */
const CUT_MS = 5000;

/** Starts a gateway; resolves when it answers. */
export async function startGateway(config: Config, log: Log): Promise<{ url: string; stop(): Promise<void> }> {
  if (config.databaseUrl === undefined)
    throw new AppError('invalid', 'DATABASE_URL is not set: use `sluice up`, which brings a database along');
  const clock = systemClock;
  const id = newId('gw');
  const database = openDatabase(config.databaseUrl, log, 20);
  const { db } = database;
  const [blobs, queue] = await Promise.all([
    openBlobs(config.blobsUrl, blobsOptions(config)),
    openQueue({ databaseUrl: config.databaseUrl, log, ...(config.redisUrl ? { redisUrl: config.redisUrl } : {}) }),
  ]);
  const artifacts = createArtifacts(join(config.cacheDir, 'artifacts'), blobs);
  const launch: SparesOptions = {
    script: program('runtime'),
    maxBodyBytes: config.limits.bodyBytes,
    drainMs: config.limits.drainMs,
    startTimeoutMs: 30_000,
    env: config.training.baseEnv,
    log,
    clock,
    count: config.spares,
  };
  const report = new StatusReport(db, id, log);
  const spares = new Spares(launch);
  const metrics = createGatewayMetrics(() => fleet.status());
  const fleet: ProcessFleet = new ProcessFleet({
    spares,
    artifacts,
    clock,
    log,
    queueLimit: config.limits.queueLimit,
    onStatus: (status: RevisionStatus) => report.changed(status),
    onColdStart({ endpoint, number }, waitMs, phases) {
      for (const [phase, ms] of Object.entries({ wait: waitMs, ...phases }))
        metrics.coldStart.observe({ endpoint, revision: String(number), phase }, ms / 1000);
    },
  });
  const routing = new RoutingTable((endpointId, route) => (route ? fleet.sync(route) : fleet.forget(endpointId)));
  const keys = new KeyTable();
  const statistics = new Statistics(id);
  const notifications = new Notifications();
  const state = { listening: false, stopping: false };

  const services: Services = {
    db,
    blobs,
    fleet,
    sandbox: createSandbox(new Spares({ ...launch, count: 0 }), artifacts),
    enqueue: queue.enqueue,
    keys,
    routing,
    statistics,
    metrics,
    notifications,
    limits: config.limits,
    asynchronous: config.asynchronous,
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
    ['sluice_routing', 'sluice_keys', ...Notifications.channels],
    {
      onNotify(channel, payload) {
        if (channel === 'sluice_routing') attempt('reading the routing', routing.refresh(db, payload));
        else if (channel === 'sluice_keys') attempt('reading the keys', keys.reload(db));
        else notifications.notified(channel, payload);
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
  const { server, close } = createFront({
    takes: isDataPath,
    dataPlane: createDataPlane(services),
    control: getRequestListener(app.fetch, { overrideGlobalObjects: false }),
    maxConnections: config.limits.maxConnections,
    bodyTimeoutMs: config.limits.predictTimeoutMs,
    // event streams send a heartbeat, uploads and predictions have limits of their own
    idleMs: Math.max(IDLE_LINE_MS, config.limits.predictTimeoutMs + 30_000),
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) =>
      reject(new AppError('invalid', `cannot listen on ${config.host}:${config.port}: ${error.message}`)),
    );
    server.listen(config.port, config.host, resolve);
  });
  const { address, port, family } = server.address() as AddressInfo;
  const url = `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`;
  const announcement = new Announcement(db, { id, url: config.advertiseUrl ?? reachable(address, port), log });
  log.info('gateway listening', { url, gateway: id });

  return {
    url,
    async stop() {
      state.stopping = true;
      await announcement.close();
      clearInterval(flushing);
      clearInterval(rereading);
      await close(Math.min(config.limits.drainMs, CUT_MS));
      await fleet.close();
      await services.sandbox.close();
      await Promise.allSettled([statistics.flush(db, clock.now(), true), report.close(), listener.close()]);
      await queue.close();
      await database.close();
    },
  };
}
