/** The fleet that a gateway has to itself: processes of this machine, or what Knative runs. */
import type { Clock } from '../clock.js';
import type { Config } from '../config.js';
import type { RevisionStatus } from '../core/fleet.js';
import type { Db } from '../core/schema.js';
import type { Log } from '../log.js';
import type { GatewayMetrics } from '../metrics.js';
import { ClusterFleet } from '../platform/fleet/cluster-fleet.js';
import { ProcessFleet } from '../platform/fleet/process-fleet.js';
import type { ModelServers } from './model-servers.js';
import { StatusReport } from './status-report.js';

export interface LocalFleetOptions {
  readonly config: Config;
  readonly servers: ModelServers;
  readonly db: Db;
  /** Of the gateway, in its reports. */
  readonly id: string;
  readonly metrics: () => GatewayMetrics;
  readonly clock: Clock;
  readonly log: Log;
}

export interface LocalFleet {
  readonly fleet: ProcessFleet | ClusterFleet;
  /** Drains and ends every replica, and takes the report back. */
  close(): Promise<void>;
}

export function openLocalFleet(options: LocalFleetOptions): LocalFleet {
  const { config, log } = options;
  if (config.fleet === 'processes') return openProcessFleet(options);
  // how the pods fare is reported by whoever watches them
  const fleet = new ClusterFleet({ log, queueLimit: config.limits.queueLimit });
  return { fleet, close: () => fleet.close() };
}

function openProcessFleet({ config, servers, db, id, metrics, clock, log }: LocalFleetOptions): LocalFleet {
  const report = new StatusReport(db, id, log);
  const fleet = new ProcessFleet({
    launcher: servers.launcher(config.spares),
    clock,
    log,
    queueLimit: config.limits.queueLimit,
    onStatus: (status: RevisionStatus) => report.changed(status),
    onEjection: ({ endpoint, number }) => metrics().ejections.inc({ endpoint, revision: String(number) }),
    onColdStart({ endpoint, number }, waitMs, phases) {
      for (const [phase, ms] of Object.entries({ wait: waitMs, ...phases }))
        metrics().coldStart.observe({ endpoint, revision: String(number), phase }, ms / 1000);
    },
  });
  return {
    fleet,
    async close() {
      await fleet.close();
      await report.close();
    },
  };
}
