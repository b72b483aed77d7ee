/**
 * A gateway of several processes: this one holds the replicas, and starts the others, which answer clients on the same
 * port. They borrow slots from it; bodies pass between them and the replicas alone.
 */
import cluster, { type Worker } from 'node:cluster';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { systemClock } from '../clock.js';
import type { Config } from '../config.js';
import { newId } from '../core/id.js';
import { RoutingTable } from '../core/inference/routing-table.js';
import { AppError } from '../errors.js';
import type { Log } from '../log.js';
import { addMetrics, createGatewayMetrics } from '../metrics.js';
import { openBlobs } from '../platform/blobs/open.js';
import { openDatabase } from '../platform/db/open.js';
import { openLeaseDoor } from '../platform/fleet/shared/lease-door.js';
import { socketFolder } from '../platform/fleet/socket-folder.js';
import { blobsOptions } from './blobs-options.js';
import type { ChildMessage } from './child.js';
import { follow } from './follow.js';
import { type Gateway, prepareDatabase, requireDatabase } from './gateway.js';
import { type IpcAnswers, type IpcPeer, ipcPeer } from './ipc.js';
import { openLocalFleet } from './local-fleet.js';
import { openModelServers } from './model-servers.js';
import { program } from './paths.js';
import { type Life, type Running, runForever } from './run-forever.js';

/** It reads the routing, and writes the report. */
const DATABASE_CONNECTIONS = 4;
const START_MS = 60_000;

/** Starts all processes; resolves when each of them answers. */
export async function startLead(config: Config, log: Log): Promise<Gateway> {
  const databaseUrl = requireDatabase(config);
  const clock = systemClock;
  const id = newId('gw');
  const database = openDatabase(databaseUrl, log, DATABASE_CONNECTIONS);
  const { db } = database;
  const blobs = await openBlobs(config.blobsUrl, blobsOptions(config));
  const servers = await openModelServers(config, { blobs, clock, log });
  const metrics = createGatewayMetrics({ fleet: () => local.fleet.status(), responseCaches: () => [] });
  const local = openLocalFleet({ config, servers, db, id, metrics: () => metrics, clock, log });
  const { fleet } = local;
  const routing = new RoutingTable((endpointId, route) => {
    if (route && !route.suspended) fleet.sync(route);
    else fleet.forget(endpointId);
  });
  await prepareDatabase(config, db, log);
  const following = await follow({ databaseUrl, db, routing, clock, log });
  const folder = await socketFolder();
  const socket = join(folder, 'leases');
  const leases = await openLeaseDoor(socket, {
    fleet,
    log,
    find: (key) =>
      routing.revision(key) ?? routing.refresh(db, key.split('/', 1)[0] ?? '').then(() => routing.revision(key)),
  });

  const doors = new Set<IpcPeer>();
  const answers: IpcAnswers = {
    socket: () => socket,
    status: () => fleet.status(),
    replicas: (key) =>
      fleet.replicasOf(String(key)).map(({ id: replica, slots, address }) => ({ id: replica, slots, address })),
    async metrics() {
      const parts = [...doors].map((door) => door.ask<object[]>('metrics').catch(() => []));
      return addMetrics([await metrics.json(), ...(await Promise.all(parts))]);
    },
  };
  const parts: Running[] = [];
  const stop = async () => {
    await Promise.all(parts.map((part) => part.stop()));
    servers.close();
    await leases.close();
    await local.close();
    await following.close();
    await database.close();
    await rm(folder, { recursive: true, force: true });
  };
  let url = '';
  cluster.setupPrimary({ exec: program('gateway'), args: [], silent: false });
  try {
    for (let at = 1; at <= config.gatewayProcesses; at++) {
      parts.push(
        await runForever(`gateway process ${at}`, log, async () => {
          const door = await startDoor(answers, doors);
          url = door.url;
          return door;
        }),
      );
    }
  } catch (error) {
    await stop();
    throw error;
  }
  log.info('gateway processes listening', { url, processes: config.gatewayProcesses, gateway: id });
  return { url, stop };
}

/** Starts a process that answers clients, and is among `doors` for as long as it does; resolves when it does. */
async function startDoor(answers: IpcAnswers, doors: Set<IpcPeer>): Promise<Life & { readonly url: string }> {
  const worker = cluster.fork();
  const peer = ipcPeer(worker, answers);
  const exited = new Promise<string>((resolve) => {
    worker.once('exit', (code, signal) => {
      doors.delete(peer);
      resolve(signal ?? `code ${code}`);
    });
  });
  const url = await firstWord(worker, exited);
  doors.add(peer);
  return {
    pid: worker.process.pid ?? 0,
    url,
    exited,
    async stop() {
      worker.process.kill('SIGTERM');
      await exited;
    },
  };
}

/** Its URL; rejects with its words when it does not start. */
async function firstWord(worker: Worker, exited: Promise<string>): Promise<string> {
  let late: NodeJS.Timeout | undefined;
  try {
    return await new Promise<string>((resolve, reject) => {
      const fail = (message: string) =>
        reject(new AppError('internal', `a gateway process does not start: ${message}`));
      late = setTimeout(() => fail(`it did not answer within ${START_MS} ms`), START_MS);
      void exited.then((how) => fail(`it ended: ${how}`));
      worker.on('message', (message: ChildMessage) => {
        if (message.kind === 'ready') resolve(message.url ?? '');
        else if (message.kind === 'failed') fail(message.error);
      });
    });
  } catch (error) {
    worker.process.kill('SIGKILL');
    throw error;
  } finally {
    clearTimeout(late);
  }
}
