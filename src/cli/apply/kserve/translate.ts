/** The documents of KServe and Knative that are taken, and which are not. */
import type { Finding } from './fields.js';
import { type ServingPlan, translateInferenceService } from './inference-service.js';
import { type TrafficPlan, translateKnativeService } from './knative-service.js';

/** In the order in which they are made, after Sluice's own kinds. */
export const FOREIGN_KINDS = ['InferenceService', 'Service'] as const;
export type ForeignKind = (typeof FOREIGN_KINDS)[number];

/** A document with what it becomes. */
export type Foreign =
  | { readonly kind: 'InferenceService'; readonly plan: ServingPlan }
  | { readonly kind: 'Service'; readonly plan: TrafficPlan };

export interface Translated {
  readonly name: string;
  readonly findings: readonly Finding[];
  /** Undefined where there are errors. */
  readonly made: Foreign | undefined;
}

const TAKEN: Readonly<Record<ForeignKind, string>> = {
  InferenceService: 'serving.kserve.io/v1beta1',
  Service: 'serving.knative.dev/v1',
};

const INSTEAD: Readonly<Record<string, string>> = {
  ServingRuntime: 'engines are those of Sluice; give a server of your own as a container of an InferenceService',
  ClusterServingRuntime: 'engines are those of Sluice; give a server of your own as a container of an InferenceService',
  TrainedModel: 'give each model an InferenceService of its own',
  InferenceGraph: 'graphs of models are not served',
  LLMInferenceService: 'give its server as a container of an InferenceService',
  Route: 'give the traffic in a Service, or with `sluice traffic set`',
  Configuration: 'revisions are versions of a model; give an InferenceService',
  Revision: 'revisions are versions of a model; give an InferenceService',
};

/** The group and kind of a document that is KServe's or Knative's; undefined for any other. */
export function foreignKindOf(apiVersion: unknown, kind: unknown): { apiVersion: string; kind: string } | undefined {
  if (typeof apiVersion !== 'string' || typeof kind !== 'string') return undefined;
  return /^serving\.(kserve\.io|knative\.dev)\//.test(apiVersion) ? { apiVersion, kind } : undefined;
}

/** Reads such a document. */
export function translate(
  { apiVersion, kind }: { readonly apiVersion: string; readonly kind: string },
  document: Readonly<Record<string, unknown>>,
): Translated {
  if (kind === 'InferenceService' && apiVersion === TAKEN.InferenceService) {
    const { plan, ...rest } = translateInferenceService(document);
    return { ...rest, made: plan && { kind, plan } };
  }
  if (kind === 'Service' && apiVersion === TAKEN.Service) {
    const { plan, ...rest } = translateKnativeService(document);
    return { ...rest, made: plan && { kind, plan } };
  }
  const taken = FOREIGN_KINDS.find((one) => one === kind);
  const message =
    taken === undefined
      ? `kind is "${kind}", which cannot be taken (InferenceService and Service can): ${INSTEAD[kind] ?? 'it is nothing that Sluice has'}`
      : `apiVersion is "${apiVersion}", expected ${TAKEN[taken]}`;
  const path = [taken === undefined ? 'kind' : 'apiVersion'];
  return { name: '', findings: [{ level: 'error', path, message }], made: undefined };
}
