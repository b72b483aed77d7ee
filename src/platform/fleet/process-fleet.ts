/** The fleet of one machine: replicas are child processes, scaled by Knative's rules. */
import type { Clock } from '../../clock.js';
import type { Fleet, RevisionStatus } from '../../core/fleet.js';
import { loadOptions } from '../../core/inference/load-options.js';
import type { Lease, LeaseWaiter, LeaseWish, PooledReplica, Waiting } from '../../core/inference/pool.js';
import { type EndpointRoute, type RevisionRoute, replicaFloor } from '../../core/inference/route.js';
import { DECISION_INTERVAL_SEC } from '../../core/scaling/decide.js';
import { AppError } from '../../errors.js';
import type { Log } from '../../log.js';
import type { Launcher } from './launcher.js';
import { ManagedRevision } from './managed-revision.js';
import type { StartPhases } from './running-server.js';

export interface ProcessFleetOptions {
  /** Owned from now on. */
  readonly launcher: Launcher;
  readonly clock: Clock;
  readonly log: Log;
  readonly queueLimit: number;
  /** Told which revision's status changed. */
  onStatus(status: RevisionStatus): void;
  /** Told of a replica that is left out because it only fails. */
  onEjection?(route: RevisionRoute): void;
  onColdStart(route: RevisionRoute, waitMs: number, phases: StartPhases): void;
}

/** The autoscaler's samples are of one second, as Knative's. */
const SAMPLE_MS = 1000;

export class ProcessFleet implements Fleet {
  private readonly revisions = new Map<string, ManagedRevision>();
  /** By id; a change looks at its own alone, however many there are. */
  private readonly endpoints = new Map<string, EndpointRoute>();
  /** What runs of each endpoint. */
  private readonly byEndpoint = new Map<string, Set<ManagedRevision>>();
  private readonly stopped = new AbortController();
  private readonly loop: Promise<void>;

  constructor(private readonly options: ProcessFleetOptions) {
    this.loop = this.run();
  }

  sync(endpoint: EndpointRoute): void {
    for (const managed of this.managedOf(endpoint.id))
      if (!endpoint.revisions.has(managed.route.number)) this.remove(managed);
    this.endpoints.set(endpoint.id, endpoint);
    for (const route of endpoint.revisions.values()) {
      const managed = this.revisions.get(route.key);
      if (managed) managed.route = route;
      const least = this.floorOf(route);
      // those that have to make room do so now
      if (least > 0 || (managed && route.replicaLimit !== undefined)) this.managed(route).adjust(least);
    }
  }

  forget(endpointId: string): void {
    for (const managed of this.managedOf(endpointId)) this.remove(managed);
    this.endpoints.delete(endpointId);
  }

  lease(revision: RevisionRoute, waiter: LeaseWaiter, wish?: LeaseWish): Lease | Waiting {
    return this.managed(revision).lease(waiter, wish);
  }

  inFlight({ key }: RevisionRoute): number {
    return this.revisions.get(key)?.inFlight ?? 0;
  }

  replicas({ key }: RevisionRoute): readonly PooledReplica[] {
    return this.replicasOf(key);
  }

  /** By the revision's key. */
  replicasOf(key: string): readonly PooledReplica[] {
    return this.revisions.get(key)?.ready ?? [];
  }

  status(): RevisionStatus[] {
    return [...this.revisions.values()].map((managed) => managed.status());
  }

  async close(): Promise<void> {
    this.stopped.abort();
    await this.loop;
    await Promise.all([...this.revisions.values()].map((managed) => managed.close()));
    await this.options.launcher.close();
  }

  private managed(route: RevisionRoute): ManagedRevision {
    if (this.stopped.signal.aborted)
      throw new AppError('not_ready', 'the gateway is shutting down', { retryAfterSec: 1 });
    const known = this.revisions.get(route.key);
    if (known) return known;
    const { clock, log, queueLimit } = this.options;
    const managed: ManagedRevision = new ManagedRevision({
      route,
      clock,
      log,
      queueLimit,
      start: (revision) =>
        this.options.launcher.start(revision, {
          name: revision.endpoint,
          version: String(revision.number),
          options: loadOptions(revision),
        }),
      onEjection: (revision) => this.options.onEjection?.(revision),
      onColdStart: this.options.onColdStart,
      onChange: () => this.options.onStatus(managed.status()),
    });
    this.revisions.set(route.key, managed);
    const others = this.byEndpoint.get(route.endpointId);
    if (others) others.add(managed);
    else this.byEndpoint.set(route.endpointId, new Set([managed]));
    return managed;
  }

  private managedOf(endpointId: string): ManagedRevision[] {
    return [...(this.byEndpoint.get(endpointId) ?? [])];
  }

  private remove(managed: ManagedRevision): void {
    this.drop(managed);
    void managed.close();
  }

  private drop(managed: ManagedRevision): void {
    const { key, endpointId } = managed.route;
    this.revisions.delete(key);
    const others = this.byEndpoint.get(endpointId);
    others?.delete(managed);
    if (others?.size === 0) this.byEndpoint.delete(endpointId);
  }

  private floorOf(route: RevisionRoute): number {
    const endpoint = this.endpoints.get(route.endpointId);
    return endpoint ? replicaFloor(endpoint, route, this.options.clock.now()) : 0;
  }

  private async run(): Promise<void> {
    const { clock } = this.options;
    for (let second = 0; !this.stopped.signal.aborted; second++) {
      await clock.sleep(SAMPLE_MS, this.stopped.signal).catch(() => {});
      if (this.stopped.signal.aborted) return;
      for (const managed of this.revisions.values()) {
        managed.sample();
        if (second % DECISION_INTERVAL_SEC !== 0) continue;
        managed.adjust(this.floorOf(managed.route));
        if (managed.idle) this.drop(managed);
      }
    }
  }
}
