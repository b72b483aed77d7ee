/** How a gateway knows the pods that ask it for their models and jobs, where it runs any. */
import type { Clock } from '../clock.js';
import type { Config } from '../config.js';
import type { PodIdentity } from '../core/pods/identity.js';
import type { Log } from '../log.js';
import { ReviewedTokens } from '../platform/kubernetes/token-review.js';
import { openCluster } from './cluster.js';

export interface OpenPodIdentity {
  /** Undefined where no pods are. */
  readonly identity: PodIdentity | undefined;
  close(): Promise<void>;
}

export async function openPodIdentity(config: Config, clock: Clock, log: Log): Promise<OpenPodIdentity> {
  if (config.fleet !== 'knative' && config.jobs !== 'kubernetes')
    return { identity: undefined, close: async () => undefined };
  const api = await openCluster(config);
  return { identity: new ReviewedTokens({ api, clock, log }), close: () => api.close() };
}
