/** Knative Serving's objects as far as they are read here. */
import type { Condition, KubeObject, ObjectMeta, ResourceKind } from '../kubernetes/objects.js';

export interface TrafficEntry {
  readonly revisionName?: string;
  readonly latestRevision?: boolean;
  readonly percent?: number;
  readonly tag?: string;
}

export interface Template {
  readonly metadata?: Omit<ObjectMeta, 'name'> & { readonly name?: string };
  readonly spec: object;
}

export interface KnativeService extends KubeObject {
  readonly spec: { readonly template: Template; readonly traffic?: readonly TrafficEntry[] };
  readonly status?: {
    readonly observedGeneration?: number;
    readonly conditions?: readonly Condition[];
    readonly traffic?: readonly (TrafficEntry & { readonly url?: string })[];
  };
}

export interface KnativeRevision extends KubeObject {
  readonly spec: object;
  readonly status?: { readonly conditions?: readonly Condition[] };
}

export const SERVICES: ResourceKind = {
  apiVersion: 'serving.knative.dev/v1',
  kind: 'Service',
  plural: 'services',
  namespaced: true,
};

export const REVISIONS: ResourceKind = {
  apiVersion: 'serving.knative.dev/v1',
  kind: 'Revision',
  plural: 'revisions',
  namespaced: true,
};

/** What scales a revision's pods: the one place where the least number of them can change without new pods. */
export const AUTOSCALERS: ResourceKind = {
  apiVersion: 'autoscaling.internal.knative.dev/v1alpha1',
  kind: 'PodAutoscaler',
  plural: 'podautoscalers',
  namespaced: true,
};

export const MIN_SCALE = 'autoscaling.knative.dev/min-scale';

export const LABELS = {
  managedBy: 'app.kubernetes.io/managed-by',
  project: 'sluice.dev/project',
  endpoint: 'sluice.dev/endpoint',
  endpointId: 'sluice.dev/endpoint-id',
  revision: 'sluice.dev/revision',
} as const;

/** The value of `LABELS.managedBy` on everything that is made here. */
export const MANAGER = 'sluice';

/** Selects what Sluice made. */
export const OURS = { labelSelector: `${LABELS.managedBy}=${MANAGER}` };
