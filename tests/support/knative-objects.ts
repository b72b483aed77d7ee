/** Endpoints as they are routed, and what Knative would have of them. */
import { scalingSchema } from '../../src/core/endpoints/endpoint.js';
import { DEFAULT_PLACEMENT } from '../../src/core/endpoints/placement.js';
import { DEFAULT_RUNTIME } from '../../src/core/endpoints/runtime.js';
import type { EndpointRoute, RevisionRoute } from '../../src/core/inference/route.js';
import {
  type KnativeRevision,
  type KnativeService,
  MIN_SCALE,
  type PodAutoscaler,
} from '../../src/platform/knative/objects.js';
import { type Observed, type Plan, planOf } from '../../src/platform/knative/plan.js';
import type { KnativeSettings } from '../../src/platform/knative/template.js';

export const SETTINGS: KnativeSettings = {
  namespace: 'models',
  runtimeImage: 'example/runtime:1',
  podsUrl: 'http://gateway',
  ingressUrl: undefined,
  keepRevisions: 10,
  predictTimeoutMs: 30_000,
};
export const SERVICE = 'digits-12345678';

export function revisionRoute(number: number, changes: Partial<RevisionRoute> = {}): RevisionRoute {
  return {
    key: `ep_12345678/${number}`,
    endpointId: 'ep_12345678',
    endpoint: 'digits',
    number,
    modelVersion: 1,
    artifact: { digest: 'sha256:0', bytes: 0, files: [] },
    framework: 'onnx',
    signature: { inputs: [], outputs: [] },
    scaling: scalingSchema.parse({}),
    runtime: DEFAULT_RUNTIME,
    placement: DEFAULT_PLACEMENT,
    server: undefined,
    warmUntilMs: 0,
    ...changes,
  };
}

/** `targets`: revision, percent, tag. */
export function endpointRoute(
  revisions: readonly RevisionRoute[],
  targets: readonly (readonly [number, number, string?])[],
  changes: Partial<EndpointRoute> = {},
): EndpointRoute {
  const byNumber = new Map(revisions.map((one) => [one.number, one]));
  return {
    id: 'ep_12345678',
    project: 'default',
    name: 'digits',
    access: 'key',
    suspended: false,
    generation: 1,
    targets: targets.map(([number, percent, tag]) => ({
      revision: byNumber.get(number) as RevisionRoute,
      percent,
      tag,
    })),
    revisions: byNumber,
    ...changes,
  };
}

/** A cluster that takes whatever a plan says, at once: every revision that is made exists, and is ready when it is told so. */
export class PaperCluster {
  service: KnativeService | undefined;
  revisions = new Map<string, KnativeRevision>();
  scalers = new Map<string, PodAutoscaler>();
  private uid = 0;

  get observed(): Observed {
    return {
      service: this.service,
      revisions: [...this.revisions.values()],
      autoscaler: (name) => this.scalers.get(name),
    };
  }

  plan(endpoint: EndpointRoute | undefined, settings = SETTINGS, nowMs = 0, refused: readonly number[] = []): Plan {
    return planOf(endpoint, this.observed, settings, { nowMs, refused: new Set(refused) });
  }

  /** Plans and does it until nothing is left to do; answers how often. */
  settle(endpoint: EndpointRoute | undefined, settings = SETTINGS, nowMs = 0, refused: readonly number[] = []): number {
    for (let rounds = 0; rounds < 50; rounds++) {
      const plan = this.plan(endpoint, settings, nowMs, refused);
      const idle = !plan.apply && !plan.removeService && plan.removeRevisions.length + plan.floors.length === 0;
      if (idle) return rounds;
      this.take(plan);
    }
    throw new Error('it never comes to rest');
  }

  take({ apply, removeService, removeRevisions, floors }: Plan): void {
    if (removeService) {
      this.service = undefined;
      this.revisions.clear();
    }
    if (apply) {
      const uid = this.service?.metadata.uid ?? `service-${++this.uid}`;
      this.service = { ...apply.service, metadata: { ...apply.service.metadata, uid } };
      const { metadata, spec } = apply.service.spec.template;
      const { name = '', labels = {}, annotations = {} } = metadata;
      if (!this.revisions.has(name)) {
        this.revisions.set(name, { metadata: { name, uid: name, labels, annotations }, spec });
        this.scalers.set(name, { metadata: { name, annotations } });
        this.ready(name);
      }
    }
    for (const { metadata } of removeRevisions) this.revisions.delete(metadata.name);
    for (const { name, floor } of floors) {
      const scaler = this.scalers.get(name);
      const annotations = { ...scaler?.metadata.annotations, [MIN_SCALE]: String(floor) };
      if (scaler) this.scalers.set(name, { ...scaler, metadata: { ...scaler.metadata, annotations } });
    }
  }

  ready(name: string, status: 'True' | 'False' | 'Unknown' = 'True'): void {
    const revision = this.revisions.get(name);
    if (revision) this.revisions.set(name, { ...revision, status: { conditions: [{ type: 'Ready', status }] } });
  }

  get traffic(): string[] {
    return (this.service?.spec.traffic ?? []).map(
      ({ revisionName: name, percent, tag }) => `${name?.replace(`${SERVICE}-`, '')} ${tag ? `#${tag}` : percent}`,
    );
  }
}
