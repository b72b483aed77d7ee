import type { Config } from '../config.js';
import { openAccess } from '../platform/kubernetes/access.js';
import { KubernetesApi } from '../platform/kubernetes/api.js';

/** Speaks to the cluster that the settings name. */
export async function openCluster({ cluster }: Config): Promise<KubernetesApi> {
  return new KubernetesApi(await openAccess(cluster));
}
