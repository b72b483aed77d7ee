/** What the cluster has to say of a job: its Job or TrainJob, the pods of it, and events about them. */
import {
  type Condition,
  type ContainerState,
  type ContainerStatus,
  type KubeObject,
  OURS,
  type Pod,
  type ResourceKind,
} from '../objects.js';

/** A Job of Kubernetes, or a TrainJob of the Kubeflow Trainer: what is read here is the same in both. */
export interface Job extends KubeObject {
  readonly kind?: string;
  readonly spec?: { readonly suspend?: boolean };
  readonly status?: {
    readonly conditions?: readonly Condition[];
    readonly active?: number;
    readonly failed?: number;
    readonly succeeded?: number;
  };
}

export interface KubeEvent extends KubeObject {
  readonly type?: string;
  readonly reason?: string;
  readonly message?: string;
  readonly lastTimestamp?: string | null;
  readonly eventTime?: string | null;
}

export const JOBS: ResourceKind = { apiVersion: 'batch/v1', kind: 'Job', plural: 'jobs', namespaced: true };
/** An attempt by way of the Kubeflow Trainer, which makes a JobSet of it, and that its Job. */
export const TRAIN_JOBS: ResourceKind = {
  apiVersion: 'trainer.kubeflow.org/v1alpha1',
  kind: 'TrainJob',
  plural: 'trainjobs',
  namespaced: true,
};
/** What the Trainer calls the job and the container of a runtime that run the script. */
export const TRAINER_NODE = 'node';
export const SERVICES: ResourceKind = { apiVersion: 'v1', kind: 'Service', plural: 'services', namespaced: true };
export const EVENTS: ResourceKind = { apiVersion: 'v1', kind: 'Event', plural: 'events', namespaced: true };

export const JOB_LABEL = 'sluice.dev/job';
/** Selects the Jobs that are ours, and their pods. */
export const OUR_JOBS = `${OURS},${JOB_LABEL}`;
export const ATTEMPT_LABEL = 'sluice.dev/attempt';
/** The number of the attempt that a Job belongs to now: that which made it, or a later one that took it over. */
export const HELD_BY = 'sluice.dev/held-by';
export const QUEUE_LABEL = 'kueue.x-k8s.io/queue-name';
export const INDEX_LABEL = 'batch.kubernetes.io/job-completion-index';
export const JOB_NAME_LABEL = 'batch.kubernetes.io/job-name';
export const JOBSET_NAME_LABEL = 'jobset.sigs.k8s.io/jobset-name';
/** The container of a Job that runs the script. */
export const CONTAINER = 'job';

/** The kind of what runs an attempt; objects out of lists do not say it themselves, so those that list say it. */
export function kindOf(job: Job): ResourceKind {
  return job.kind === TRAIN_JOBS.kind ? TRAIN_JOBS : JOBS;
}

/** The label by which pods name what they belong to. */
export function podLabelOf(kind: ResourceKind): string {
  return kind === TRAIN_JOBS ? JOBSET_NAME_LABEL : JOB_NAME_LABEL;
}

/** Which of a pod's containers runs the script; clusters may put others beside it. */
export function containerOf(pod: Pod): string {
  return pod.metadata.labels?.[JOBSET_NAME_LABEL] === undefined ? CONTAINER : TRAINER_NODE;
}

export function statusOf(pod: Pod): ContainerStatus | undefined {
  const name = containerOf(pod);
  return pod.status?.containerStatuses?.find((status) => status.name === name);
}

export function stateOf(pod: Pod): ContainerState | undefined {
  return statusOf(pod)?.state;
}

/** Which of the replicas a pod is. */
export function rankOf(pod: Pod): number {
  return Number(pod.metadata.labels?.[INDEX_LABEL] ?? 0);
}
