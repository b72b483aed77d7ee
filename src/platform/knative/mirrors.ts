/** Copies of everything of ours on the cluster, found by endpoint. */
import type { Clock } from '../../clock.js';
import type { Log } from '../../log.js';
import type { KubernetesApi } from '../kubernetes/api.js';
import { Mirror } from '../kubernetes/mirror.js';
import { type KubeObject, OURS, PODS, type Pod, type ResourceKind } from '../kubernetes/objects.js';
import { LABEL_ENDPOINT_ID } from './names.js';
import {
  type KnativeRevision,
  type KnativeService,
  POD_AUTOSCALERS,
  type PodAutoscaler,
  REVISIONS,
  SERVICES,
} from './objects.js';

export interface MirrorsOptions {
  readonly api: KubernetesApi;
  readonly clock: Clock;
  readonly log: Log;
  /** Told of which endpoint something changed. */
  onChange(endpointId: string): void;
}

/** One kind's mirror, by the endpoint that its label names. */
class ByEndpoint<T extends KubeObject> {
  readonly mirror: Mirror<T>;
  private readonly names = new Map<string, Set<string>>();
  private readonly owners = new Map<string, string>();

  constructor(kind: ResourceKind, { onChange, ...rest }: MirrorsOptions) {
    this.mirror = new Mirror<T>({
      ...rest,
      kind,
      selection: { labelSelector: OURS },
      onChange: (name, object) => {
        const before = this.owners.get(name);
        const now = object?.metadata.labels?.[LABEL_ENDPOINT_ID];
        if (before !== now) this.move(name, before, now);
        if (before !== undefined) onChange(before);
        if (now !== undefined && now !== before) onChange(now);
      },
    });
  }

  of(endpointId: string): T[] {
    return [...(this.names.get(endpointId) ?? [])].flatMap((name) => this.mirror.get(name) ?? []);
  }

  owned(): IterableIterator<string> {
    return this.names.keys();
  }

  private move(name: string, before: string | undefined, now: string | undefined): void {
    if (before !== undefined) {
      const names = this.names.get(before);
      names?.delete(name);
      if (names?.size === 0) this.names.delete(before);
    }
    if (now === undefined) this.owners.delete(name);
    else {
      this.owners.set(name, now);
      const names = this.names.get(now);
      if (names) names.add(name);
      else this.names.set(now, new Set([name]));
    }
  }
}

export class Mirrors {
  private readonly services: ByEndpoint<KnativeService>;
  private readonly revisions: ByEndpoint<KnativeRevision>;
  private readonly autoscalers: ByEndpoint<PodAutoscaler>;
  private readonly pods: ByEndpoint<Pod>;
  /** Resolves when everything was listed once. */
  readonly synced: Promise<unknown>;

  constructor(options: MirrorsOptions) {
    this.services = new ByEndpoint(SERVICES, options);
    this.revisions = new ByEndpoint(REVISIONS, options);
    this.autoscalers = new ByEndpoint(POD_AUTOSCALERS, options);
    this.pods = new ByEndpoint(PODS, options);
    this.synced = Promise.all(this.all.map(({ mirror }) => mirror.synced));
  }

  /** Whether changes are heard of now. */
  get connected(): boolean {
    return this.all.every(({ mirror }) => mirror.connected);
  }

  service(endpointId: string): KnativeService | undefined {
    return this.services.of(endpointId)[0];
  }

  revisionsOf(endpointId: string): KnativeRevision[] {
    return this.revisions.of(endpointId);
  }

  autoscaler(name: string): PodAutoscaler | undefined {
    return this.autoscalers.mirror.get(name);
  }

  podsOf(endpointId: string): Pod[] {
    return this.pods.of(endpointId);
  }

  /** Ids of the endpoints that have a Service. */
  endpoints(): IterableIterator<string> {
    return this.services.owned();
  }

  async close(): Promise<void> {
    await Promise.all(this.all.map(({ mirror }) => mirror.close()));
  }

  private get all() {
    return [this.services, this.revisions, this.autoscalers, this.pods];
  }
}
