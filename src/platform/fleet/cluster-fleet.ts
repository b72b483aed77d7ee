/**
 * The fleet of a cluster, as a gateway sees it: every revision is one address, behind which Knative starts, scales and
 * replaces pods. Requests wait here only until the revision has an address; from then on they wait in Knative.
 */
import type { Fleet, RevisionStatus } from '../../core/fleet.js';
import { Admission } from '../../core/inference/admission.js';
import {
  type Lease,
  type LeaseWaiter,
  type PooledReplica,
  ReplicaPool,
  type Waiting,
} from '../../core/inference/pool.js';
import type { EndpointRoute, RevisionAddress, RevisionRoute } from '../../core/inference/route.js';
import { AppError } from '../../errors.js';
import { type HttpUpstream, openHttpUpstream } from '../upstream/http-upstream.js';
import { ownAnswers } from '../upstream/own-answers.js';

export interface ClusterFleetOptions {
  /** Most requests that wait for a revision's address. */
  readonly queueLimit: number;
}

/** Most requests of one gateway to one revision at once, whatever its settings allow. */
const MAX_AT_ONCE = 4096;

interface Way {
  readonly address: RevisionAddress;
  readonly upstream: HttpUpstream;
}

class ClusterRevision {
  readonly pool: ReplicaPool;
  private readonly admission: Admission;
  private way: Way | undefined;
  private serial = 0;

  constructor(
    public route: RevisionRoute,
    queueLimit: number,
  ) {
    const { scaling } = route;
    this.admission = new Admission({ maxDelayMs: scaling.maxQueueDelayMs });
    this.pool = new ReplicaPool({
      queueLimit,
      queueTimeoutMs: scaling.queueTimeoutSec * 1000,
      onDemand: () => {},
      onAnswer: (answered) => this.admission.answered(performance.now(), answered),
      explain: () =>
        `revision ${this.route.number} does not answer on the cluster: ${this.route.problem ?? 'it is being started'}`,
    });
    this.follow(route);
  }

  /** Takes a new address over; who is being answered from the old one is answered. */
  follow(route: RevisionRoute): void {
    this.route = route;
    const { address, scaling, server } = route;
    if (same(address, this.way?.address)) return;
    this.close();
    if (!address) return;
    const slots = Math.min(MAX_AT_ONCE, scaling.concurrency * scaling.maxReplicas);
    const upstream = openHttpUpstream({ ...address, maxConnections: slots });
    this.way = { address, upstream };
    this.admission.reset();
    const forward = server?.url === undefined ? ownAnswers(upstream.forward) : upstream.forward;
    this.pool.add({
      id: `knative-${++this.serial}`,
      slots,
      forward,
      address: { kind: 'http', ...address, maxConnections: slots },
    });
  }

  lease(waiter: LeaseWaiter): Lease | Waiting {
    const { maxQueueDelayMs } = this.route.scaling;
    if (this.way && !this.admission.admits(this.pool.inFlight)) {
      throw new AppError(
        'overloaded',
        `revision ${this.route.number} has all that it may use at work, and requests stand in a queue for more than ${maxQueueDelayMs} ms`,
        { retryAfterSec: 1 },
      );
    }
    return this.pool.lease(waiter);
  }

  status(): RevisionStatus {
    const { endpointId, endpoint, number, problem, address } = this.route;
    return {
      endpointId,
      endpoint,
      revision: number,
      ready: this.pool.ready,
      starting: 0,
      busy: this.pool.busy,
      waiting: this.pool.waiting,
      message: problem ?? (address ? `answers at ${address.host ?? address.url}` : 'is being started'),
      failing: problem !== undefined && !address,
      replicas: [],
    };
  }

  close(): void {
    const { way } = this;
    this.way = undefined;
    if (!way) return;
    const [replica] = this.pool.replicas();
    const drained = replica ? this.pool.drain(replica.id) : Promise.resolve();
    void drained.then(() => way.upstream.close());
  }
}

export class ClusterFleet implements Fleet {
  private readonly revisions = new Map<string, ClusterRevision>();
  private closed = false;

  constructor(private readonly options: ClusterFleetOptions) {}

  sync(endpoint: EndpointRoute): void {
    for (const [key, revision] of this.revisions) {
      if (revision.route.endpointId !== endpoint.id) continue;
      const route = endpoint.revisions.get(revision.route.number);
      if (route) revision.follow(route);
      else this.remove(key, revision);
    }
  }

  forget(endpointId: string): void {
    for (const [key, revision] of this.revisions)
      if (revision.route.endpointId === endpointId) this.remove(key, revision);
  }

  lease(route: RevisionRoute, waiter: LeaseWaiter): Lease | Waiting {
    return this.revisionOf(route).lease(waiter);
  }

  replicas(route: RevisionRoute): readonly PooledReplica[] {
    return this.revisionOf(route).pool.replicas();
  }

  /** By the revision's key. */
  replicasOf(key: string): readonly PooledReplica[] {
    return this.revisions.get(key)?.pool.replicas() ?? [];
  }

  status(): RevisionStatus[] {
    return [...this.revisions.values()].map((revision) => revision.status());
  }

  async close(): Promise<void> {
    this.closed = true;
    for (const [key, revision] of this.revisions) this.remove(key, revision);
  }

  private revisionOf(route: RevisionRoute): ClusterRevision {
    if (this.closed) throw new AppError('not_ready', 'the gateway is shutting down', { retryAfterSec: 1 });
    const known = this.revisions.get(route.key);
    if (known) return known;
    const made = new ClusterRevision(route, this.options.queueLimit);
    this.revisions.set(route.key, made);
    return made;
  }

  private remove(key: string, revision: ClusterRevision): void {
    this.revisions.delete(key);
    revision.pool.rejectWaiters(
      new AppError('not_ready', `revision ${revision.route.number} is not served any more`, { retryAfterSec: 1 }),
    );
    revision.close();
  }
}

function same(a: RevisionAddress | undefined, b: RevisionAddress | undefined): boolean {
  return a?.url === b?.url && a?.host === b?.host;
}
