/** The cluster's parts: what a gateway and a worker run instead of this machine's. */
import type { Clock } from '../clock.js';
import type { Config } from '../config.js';
import { RoutingTable } from '../core/inference/routing-table.js';
import type { Db } from '../core/schema.js';
import type { Log } from '../log.js';
import { lead } from '../platform/db/leader.js';
import { ClusterFleet } from '../platform/fleet/cluster-fleet.js';
import { Operator } from '../platform/knative/operator.js';
import { openAccess } from '../platform/kubernetes/access.js';
import { KubernetesApi } from '../platform/kubernetes/api.js';
import { follow } from './follow.js';
import { StatusReport } from './status-report.js';

/** Speaks to the cluster that the settings name. */
export async function openCluster({ cluster }: Config): Promise<KubernetesApi> {
  return new KubernetesApi(await openAccess(cluster));
}

export function openClusterFleet({ config }: { readonly config: Config }): {
  readonly fleet: ClusterFleet;
  close(): Promise<void>;
} {
  const fleet = new ClusterFleet({ queueLimit: config.limits.queueLimit });
  return { fleet, close: () => fleet.close() };
}

export interface OperatorParts {
  readonly config: Config;
  readonly databaseUrl: string;
  readonly api: KubernetesApi;
  readonly db: Db;
  readonly clock: Clock;
  readonly log: Log;
}

/** Of all workers' operators; its report on the revisions stands beside those of gateways. */
const OPERATOR = 'knative';

/** Keeps Knative as the endpoints want it, for as long as this worker is the one to do so. */
export async function startOperator(parts: OperatorParts): Promise<{ close(): Promise<void> }> {
  const { config, databaseUrl, api, db, clock, log } = parts;
  const routing = new RoutingTable();
  const following = await follow({ databaseUrl, db, routing, clock, log });
  const leading = lead({ databaseUrl, what: 'sluice knative operator', clock, log }, async (signal) => {
    const report = new StatusReport(db, OPERATOR, log);
    const operator = new Operator(
      {
        api,
        db,
        settings: {
          // config.ts has checked that they are there
          runtimeImage: config.cluster.runtimeImage ?? '',
          podsUrl: config.cluster.podsUrl ?? '',
          predictTimeoutSec: config.limits.predictTimeoutMs / 1000,
          keepRevisions: config.cluster.keepRevisions,
        },
        ingressUrl: config.cluster.ingressUrl,
        endpoints: () => routing.all(),
        onStatus: (status) => report.changed(status),
        clock,
        log,
      },
      signal,
    );
    try {
      await operator.run();
    } finally {
      await report.close();
    }
  });
  return {
    async close() {
      await leading.close();
      await following.close();
    },
  };
}
