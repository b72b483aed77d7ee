/** What the cluster has to say of a job: its Job, the pods of it, and events about both. */
import { type Condition, type KubeObject, OURS, type Pod, type ResourceKind } from '../objects.js';

export interface Job extends KubeObject {
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
export const SERVICES: ResourceKind = { apiVersion: 'v1', kind: 'Service', plural: 'services', namespaced: true };
export const EVENTS: ResourceKind = { apiVersion: 'v1', kind: 'Event', plural: 'events', namespaced: true };

export const JOB_LABEL = 'sluice.dev/job';
/** Selects the Jobs that are ours, and their pods. */
export const OUR_JOBS = `${OURS},${JOB_LABEL}`;
export const ATTEMPT_LABEL = 'sluice.dev/attempt';
/** The number of the attempt that a Job belongs to now: that which made it, or a later one that took it over. */
export const HELD_BY = 'sluice.dev/held-by';
export const INDEX_LABEL = 'batch.kubernetes.io/job-completion-index';
export const JOB_NAME_LABEL = 'batch.kubernetes.io/job-name';
/** The container that runs the script. */
export const CONTAINER = 'job';

/** Which of the replicas a pod is. */
export function rankOf(pod: Pod): number {
  return Number(pod.metadata.labels?.[INDEX_LABEL] ?? 0);
}
