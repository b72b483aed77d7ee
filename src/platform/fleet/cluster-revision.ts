/**
 * One revision on a cluster, as a gateway sees it: an address, so many requests at once, and a queue before it that is
 * bounded in number and in time. Its delay refuses nobody: a pod that is replaced makes everybody wait as overload does, and
 * only the cluster can tell the two apart.
 */
import type { RevisionStatus } from '../../core/fleet.js';
import {
  type Lease,
  type LeaseWaiter,
  type LeaseWish,
  type PooledReplica,
  type ReplicaAddress,
  ReplicaPool,
  type Waiting,
} from '../../core/inference/pool.js';
import type { RevisionAddress, RevisionRoute } from '../../core/inference/route.js';
import { AppError } from '../../errors.js';
import type { Log } from '../../log.js';
import { type HttpUpstream, openHttpUpstream } from '../upstream/http-upstream.js';
import { pastIngress } from './ingress-answers.js';

export interface ClusterRevisionOptions {
  readonly route: RevisionRoute;
  readonly queueLimit: number;
  readonly log: Log;
}

/** Most requests of one gateway under way to one revision, however many its replicas could take. */
const MAX_SLOTS = 1024;

interface Door {
  readonly id: string;
  readonly address: RevisionAddress;
  readonly slots: number;
  readonly upstream: HttpUpstream;
}

export class ClusterRevision {
  route: RevisionRoute;
  private readonly pool: ReplicaPool;
  private door: Door | undefined;
  private serial = 0;

  constructor(private readonly options: ClusterRevisionOptions) {
    const { route, queueLimit } = options;
    const { scaling } = route;
    this.route = route;
    this.pool = new ReplicaPool({
      queueLimit,
      queueTimeoutMs: scaling.queueTimeoutSec * 1000,
      onDemand: () => {},
      explain: () => `revision ${route.number} took no request within ${scaling.queueTimeoutSec} s${this.why()}`,
    });
    this.take(route);
  }

  /** The address, where there is one. */
  get ready(): readonly PooledReplica[] {
    return this.pool.replicas();
  }

  /** Goes on with the revision as it is known now. */
  take(route: RevisionRoute): void {
    this.route = route;
    const { address } = route;
    if (address?.url === this.door?.address.url && address?.host === this.door?.address.host) return;
    const before = this.door;
    this.door = address && this.open(address);
    if (before) void this.leave(before);
  }

  get inFlight(): number {
    return this.pool.inFlight;
  }

  lease(waiter: LeaseWaiter, wish?: LeaseWish): Lease | Waiting {
    return this.pool.lease(waiter, wish);
  }

  status(): RevisionStatus {
    const { endpointId, endpoint, number, problem } = this.route;
    return {
      endpointId,
      endpoint,
      revision: number,
      ready: this.pool.ready,
      starting: 0,
      busy: this.pool.busy,
      waiting: this.pool.waiting,
      message: problem ?? (this.door ? 'Knative runs its replicas' : 'not on the cluster yet'),
      failing: problem !== undefined,
      replicas: [],
    };
  }

  /** Refuses who waits, and lets what is under way come to its end. */
  async close(): Promise<void> {
    this.pool.rejectWaiters(
      new AppError('not_ready', `revision ${this.route.number} is going away`, { retryAfterSec: 1 }),
    );
    const { door } = this;
    this.door = undefined;
    if (door) await this.leave(door);
  }

  private open(address: RevisionAddress): Door {
    const { scaling, server } = this.route;
    const slots = Math.min(MAX_SLOTS, scaling.concurrency * scaling.maxReplicas);
    const upstream = openHttpUpstream({ ...address, maxConnections: slots });
    const door: Door = { id: `k${++this.serial}`, address, slots, upstream };
    const behind = server ? 'server' : 'runtime';
    const reached: ReplicaAddress = { kind: 'http', ...address, maxConnections: slots, ingress: behind };
    this.pool.add({ id: door.id, slots, address: reached, forward: pastIngress(upstream.forward, behind) });
    this.options.log.info('a revision answers on the cluster', {
      endpoint: this.route.endpoint,
      revision: this.route.number,
      ...address,
    });
    return door;
  }

  private async leave({ id, upstream }: Door): Promise<void> {
    await this.pool.drain(id);
    await upstream.close();
  }

  private why(): string {
    if (this.route.problem !== undefined) return `: ${this.route.problem}`;
    return this.door ? '' : ': it does not answer on the cluster yet';
  }
}
