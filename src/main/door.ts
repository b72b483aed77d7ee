/** One of a gateway's processes that answer clients; the replicas are held by the process that started it. */
import type { Config } from '../config.js';
import type { RevisionStatus } from '../core/fleet.js';
import type { Log } from '../log.js';
import type { GatewayMetrics, PrintedMetrics } from '../metrics.js';
import { BorrowingFleet } from '../platform/fleet/shared/borrowing-fleet.js';
import { type Gateway, startGateway } from './gateway.js';
import { ipcPeer } from './ipc.js';

export async function startDoor(config: Config, log: Log): Promise<Gateway> {
  let metrics: (() => GatewayMetrics) | undefined;
  const lead = ipcPeer(process, { metrics: () => metrics?.().json() ?? [] });
  const socket = await lead.ask<string>('socket');
  const fleet = await BorrowingFleet.open(socket, {
    status: () => lead.ask<RevisionStatus[]>('status'),
    replicas: (key) => lead.ask('replicas', key),
  });
  return startGateway(config, log, (options) => {
    ({ metrics } = options);
    return { fleet, printMetrics: () => lead.ask<PrintedMetrics>('metrics'), close: () => fleet.close() };
  });
}
