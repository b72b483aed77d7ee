/** What Kueue says of a job that is in one of its queues: why it waits, or why what ran was stopped. */
import { AppError } from '../../../errors.js';
import type { KubernetesApi } from '../api.js';
import { type Condition, conditionOf, type KubeObject, type ResourceKind } from '../objects.js';
import type { Job } from './objects.js';

/** What Kueue keeps of a job: one for each Job or TrainJob with a queue. */
export interface Workload extends KubeObject {
  readonly status?: { readonly conditions?: readonly Condition[] };
}

/** Newest first; which of them are served depends on Kueue's version. */
const WORKLOADS = ['v1beta2', 'v1beta1'].map(
  (version): ResourceKind => ({
    apiVersion: `kueue.x-k8s.io/${version}`,
    kind: 'Workload',
    plural: 'workloads',
    namespaced: true,
  }),
);
const JOB_UID_LABEL = 'kueue.x-k8s.io/job-uid';

/** Undefined where there is none yet, or it may not be read: it only explains. */
export async function workloadOf(api: KubernetesApi, { metadata: { uid = '' } }: Job): Promise<Workload | undefined> {
  for (const kind of WORKLOADS) {
    try {
      const { items } = await api.list<Workload>(kind, { labelSelector: `${JOB_UID_LABEL}=${uid}` });
      return items[0];
    } catch (error) {
      if (!(error instanceof AppError && error.code === 'not_found')) return undefined;
    }
  }
  return undefined;
}

/** Why a job that is suspended waits. */
export function queueWords(queue: string, workload: Workload | undefined): string {
  const waits = `waits in the queue ${queue} of Kueue`;
  if (workload === undefined) return `${waits}, which has not taken it up yet`;
  const taken = whyStopped(workload);
  const reserved = conditionOf(workload, 'QuotaReserved');
  const why = reserved?.status === 'False' ? said(reserved) : undefined;
  const admitted = conditionOf(workload, 'Admitted');
  if (reserved?.status === 'True' && admitted?.status !== 'True') {
    return `${waits}: its quota is reserved, and a check of its admission goes on`;
  }
  return [waits, taken && `its room was taken away (${taken})`, why].filter(Boolean).join(': ');
}

/** Why Kueue stopped what ran; undefined when it did not. */
export function whyStopped(workload: Workload): string | undefined {
  const evicted = conditionOf(workload, 'Evicted');
  return evicted?.status === 'True' ? said(evicted) : undefined;
}

/** Kueue's words without the full stop that some of them end in. */
function said({ message, reason }: Condition): string | undefined {
  return (message || reason)?.replace(/\.$/, '');
}
