/** The Kubeflow Trainer's and Kueue's objects, as an administrator makes them, where `npm run cluster -- training` has put both. */
import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import type { KubernetesApi } from '../../src/platform/kubernetes/api.js';
import type { KubeObject, ResourceKind } from '../../src/platform/kubernetes/objects.js';
import { kubectl } from './kubectl.js';

/** Whether the cluster of SLUICE_TEST_KUBECONFIG has all of these resources. */
export async function knows(...resources: string[]): Promise<boolean> {
  const found = await Promise.all(resources.map((name) => kubectl(['get', 'crd', name])));
  return found.every(({ code }) => code === 0);
}

const RUNTIMES: ResourceKind = {
  apiVersion: 'trainer.kubeflow.org/v1alpha1',
  kind: 'TrainingRuntime',
  plural: 'trainingruntimes',
  namespaced: true,
};

/** The runtime of deploy/knative, in this namespace. */
export async function makeRuntime(api: KubernetesApi): Promise<void> {
  const { spec } = parse(readFileSync('deploy/knative/components/kubeflow-trainer/runtime.yaml', 'utf8'));
  await api.create(RUNTIMES, { metadata: { name: 'sluice' }, spec });
}

/** A runtime as the Trainer brings them: it says nothing of what fails or stops. */
export async function makeStockRuntime(api: KubernetesApi, name: string): Promise<void> {
  const pod = { spec: { containers: [{ name: 'node', image: 'pytorch/pytorch' }] } };
  const labels = { 'trainer.kubeflow.org/trainjob-ancestor-step': 'trainer' };
  const job = { name: 'node', template: { metadata: { labels }, spec: { template: pod } } };
  const spec = { mlPolicy: { numNodes: 1, torch: {} }, template: { spec: { replicatedJobs: [job] } } };
  await api.create(RUNTIMES, { metadata: { name }, spec });
}

const KUEUE = { apiVersion: 'kueue.x-k8s.io/v1beta2' };
const FLAVORS: ResourceKind = { ...KUEUE, kind: 'ResourceFlavor', plural: 'resourceflavors', namespaced: false };
const CLUSTER_QUEUES: ResourceKind = { ...KUEUE, kind: 'ClusterQueue', plural: 'clusterqueues', namespaced: false };
const QUEUES: ResourceKind = { ...KUEUE, kind: 'LocalQueue', plural: 'localqueues', namespaced: true };
const PRIORITIES: ResourceKind = {
  ...KUEUE,
  kind: 'WorkloadPriorityClass',
  plural: 'workloadpriorityclasses',
  namespaced: false,
};

export interface Quota {
  /** Labels that give a job this priority. */
  readonly urgent: Readonly<Record<string, string>>;
  /** Whether the queue lets nothing in and ends what runs, or works. */
  stop(stopped: boolean): Promise<void>;
  remove(): Promise<void>;
}

/** A queue `research` in the namespace, with room for so many CPUs; what is urgent takes the room of what is not. */
export async function makeQuota(api: KubernetesApi, cpus: string): Promise<Quota> {
  const name = api.namespace;
  const metadata = { name };
  await api.create(FLAVORS, { metadata });
  const resources = [
    { name: 'cpu', nominalQuota: cpus },
    { name: 'memory', nominalQuota: '8Gi' },
  ];
  await api.create(CLUSTER_QUEUES, {
    metadata,
    spec: {
      namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': name } },
      preemption: { withinClusterQueue: 'LowerPriority' },
      resourceGroups: [{ coveredResources: ['cpu', 'memory'], flavors: [{ name, resources }] }],
    },
  });
  await api.create(QUEUES, { metadata: { name: 'research' }, spec: { clusterQueue: name } });
  await api.create(PRIORITIES, { metadata, value: 1000 });
  return {
    urgent: { 'kueue.x-k8s.io/priority-class': name },
    stop: async (stopped) => {
      await api.patch<KubeObject>(CLUSTER_QUEUES, name, { spec: { stopPolicy: stopped ? 'HoldAndDrain' : 'None' } });
    },
    remove: async () => {
      await api.delete(CLUSTER_QUEUES, name);
      await Promise.all([api.delete(FLAVORS, name), api.delete(PRIORITIES, name)]);
    },
  };
}
