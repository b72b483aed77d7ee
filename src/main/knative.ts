/** The operator of the endpoints on Knative: one worker of all leads it. */
import type { Clock } from '../clock.js';
import type { Config } from '../config.js';
import { newId } from '../core/id.js';
import { RoutingTable } from '../core/inference/routing-table.js';
import type { Db } from '../core/schema.js';
import { AppError } from '../errors.js';
import type { Log } from '../log.js';
import { type Leading, openLeadership } from '../platform/db/leadership.js';
import { Operator } from '../platform/knative/operator.js';
import type { KnativeSettings } from '../platform/knative/template.js';
import type { KubernetesApi } from '../platform/kubernetes/api.js';
import { openCluster } from './cluster.js';
import { follow } from './follow.js';
import { StatusReport } from './status-report.js';

export interface KnativeOptions {
  readonly db: Db;
  readonly databaseUrl: string;
  readonly clock: Clock;
  readonly log: Log;
}

export async function openKnative(config: Config, options: KnativeOptions): Promise<{ close(): Promise<void> }> {
  const { db, databaseUrl, clock, log } = options;
  const api = await openCluster(config);
  const settings = settingsOf(config, api.namespace);
  const leadership = openLeadership({
    databaseUrl,
    name: `sluice operator of ${api.namespace}`,
    clock,
    log,
    lead: ({ signal, holds }: Leading) => operate({ ...options, api, settings, signal, holds }),
  });
  return {
    async close() {
      await leadership.close();
      await api.close();
    },
  };

  async function operate(led: KnativeOptions & Leading & { api: KubernetesApi; settings: KnativeSettings }) {
    const report = new StatusReport(db, newId('op'), log);
    const operator = new Operator({ ...led, onStatus: (status) => report.changed(status) });
    const routing = new RoutingTable((id, route) => operator.sync(id, route));
    try {
      const following = await follow({ databaseUrl, db, routing, clock, log });
      operator.allKnown();
      try {
        await untilAborted(led.signal);
      } finally {
        await following.close();
      }
    } finally {
      await operator.close();
      await report.close();
    }
  }
}

function settingsOf({ cluster, limits }: Config, namespace: string): KnativeSettings {
  const { runtimeImage, podsUrl, ingressUrl, keepRevisions } = cluster;
  if (runtimeImage === undefined || podsUrl === undefined)
    throw new AppError('invalid', 'SLUICE_RUNTIME_IMAGE and SLUICE_PODS_URL must be set with SLUICE_FLEET=knative');
  return { namespace, runtimeImage, podsUrl, ingressUrl, keepRevisions, predictTimeoutMs: limits.predictTimeoutMs };
}

function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
