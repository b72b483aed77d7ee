/**
 * The fleet on a cluster: each revision is one address, behind which Knative runs as many pods as it takes. What is here is
 * a gateway's part of it: how many requests are under way and wait, for how long, and what to say when that is too much.
 */
import type { Fleet, RevisionStatus } from '../../core/fleet.js';
import type { Lease, LeaseWaiter, LeaseWish, PooledReplica, Waiting } from '../../core/inference/pool.js';
import type { EndpointRoute, RevisionRoute } from '../../core/inference/route.js';
import { AppError } from '../../errors.js';
import type { Log } from '../../log.js';
import { ClusterRevision } from './cluster-revision.js';

export interface ClusterFleetOptions {
  readonly log: Log;
  readonly queueLimit: number;
}

export class ClusterFleet implements Fleet {
  private readonly revisions = new Map<string, ClusterRevision>();
  /** Keys by endpoint: a change looks at its own alone, however many there are. */
  private readonly keys = new Map<string, Set<string>>();
  private closed = false;

  constructor(private readonly options: ClusterFleetOptions) {}

  sync(endpoint: EndpointRoute): void {
    for (const known of this.ofEndpoint(endpoint.id)) {
      const route = endpoint.revisions.get(known.route.number);
      if (route) known.take(route);
      else this.remove(known);
    }
    if (this.closed) return;
    // a connection is made when there is a request; what is known of a revision is told without one
    for (const route of endpoint.revisions.values()) if (route.address || route.problem) this.revision(route);
  }

  forget(endpointId: string): void {
    for (const known of this.ofEndpoint(endpointId)) this.remove(known);
  }

  lease(revision: RevisionRoute, waiter: LeaseWaiter, wish?: LeaseWish): Lease | Waiting {
    return this.revision(revision).lease(waiter, wish);
  }

  inFlight({ key }: RevisionRoute): number {
    return this.revisions.get(key)?.inFlight ?? 0;
  }

  replicas(revision: RevisionRoute): readonly PooledReplica[] {
    return this.revision(revision).ready;
  }

  /** By the revision's key. */
  replicasOf(key: string): readonly PooledReplica[] {
    return this.revisions.get(key)?.ready ?? [];
  }

  status(): RevisionStatus[] {
    return [...this.revisions.values()].map((known) => known.status());
  }

  async close(): Promise<void> {
    this.closed = true;
    await Promise.all([...this.revisions.values()].map((known) => known.close()));
  }

  private revision(route: RevisionRoute): ClusterRevision {
    if (this.closed) throw new AppError('not_ready', 'the gateway is shutting down', { retryAfterSec: 1 });
    let known = this.revisions.get(route.key);
    if (!known) {
      known = new ClusterRevision({ ...this.options, route });
      this.revisions.set(route.key, known);
      const keys = this.keys.get(route.endpointId);
      if (keys) keys.add(route.key);
      else this.keys.set(route.endpointId, new Set([route.key]));
    }
    return known;
  }

  private ofEndpoint(id: string): ClusterRevision[] {
    return [...(this.keys.get(id) ?? [])].flatMap((key) => this.revisions.get(key) ?? []);
  }

  private remove(known: ClusterRevision): void {
    const { key, endpointId } = known.route;
    this.revisions.delete(key);
    const keys = this.keys.get(endpointId);
    if (keys?.delete(key) && keys.size === 0) this.keys.delete(endpointId);
    void known.close();
  }
}
