/** Knative's objects as far as they are read here. */
import type { Condition, KubeObject, ResourceKind } from '../kubernetes/objects.js';

export interface KnativeTarget {
  readonly revisionName?: string | undefined;
  readonly latestRevision?: boolean;
  readonly percent?: number;
  readonly tag?: string | undefined;
  /** Of a tag, in a status. */
  readonly url?: string;
}

export interface RevisionTemplate {
  readonly metadata: {
    readonly name?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly spec: Readonly<Record<string, unknown>>;
}

interface Conditions {
  readonly conditions?: readonly Condition[];
  readonly observedGeneration?: number;
}

export interface KnativeService extends KubeObject {
  readonly spec: { readonly template: RevisionTemplate; readonly traffic?: readonly KnativeTarget[] };
  readonly status?: Conditions & { readonly traffic?: readonly KnativeTarget[]; readonly url?: string };
}

export interface KnativeRevision extends KubeObject {
  readonly spec: Readonly<Record<string, unknown>>;
  readonly status?: Conditions & { readonly actualReplicas?: number; readonly desiredReplicas?: number };
}

/** What scales a revision; it has the revision's name. */
export interface PodAutoscaler extends KubeObject {
  readonly status?: Conditions & { readonly desiredScale?: number; readonly actualScale?: number };
}

const SERVING = 'serving.knative.dev/v1';

export const SERVICES: ResourceKind = { apiVersion: SERVING, kind: 'Service', plural: 'services', namespaced: true };
export const REVISIONS: ResourceKind = { apiVersion: SERVING, kind: 'Revision', plural: 'revisions', namespaced: true };
export const POD_AUTOSCALERS: ResourceKind = {
  apiVersion: 'autoscaling.internal.knative.dev/v1alpha1',
  kind: 'PodAutoscaler',
  plural: 'podautoscalers',
  namespaced: true,
};

export const MIN_SCALE = 'autoscaling.knative.dev/min-scale';
