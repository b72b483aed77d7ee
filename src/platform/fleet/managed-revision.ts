/** One revision's replicas on this machine: started when there is demand, replaced when they die, drained when idle. */
import type { Clock } from '../../clock.js';
import type { RevisionStatus } from '../../core/fleet.js';
import { Admission } from '../../core/inference/admission.js';
import {
  type Lease,
  type LeaseWaiter,
  type LeaseWish,
  type PooledReplica,
  ReplicaPool,
  type Waiting,
} from '../../core/inference/pool.js';
import { RESILIENCE_DEFAULTS } from '../../core/inference/resilience.js';
import type { RevisionRoute } from '../../core/inference/route.js';
import { ConcurrencyMeter } from '../../core/scaling/meter.js';
import { ReplicaScaler } from '../../core/scaling/replica-scaler.js';
import { scalingSettings } from '../../core/scaling/settings.js';
import { AppError, asAppError, type ErrorCode, messageOf } from '../../errors.js';
import type { Log } from '../../log.js';
import type { Started } from './launcher.js';
import type { RunningServer, StartPhases } from './running-server.js';

export interface ManagedOptions {
  readonly route: RevisionRoute;
  readonly clock: Clock;
  readonly log: Log;
  readonly queueLimit: number;
  /** A running model server that holds the revision's model, and what its start took. */
  start(route: RevisionRoute): Promise<Omit<Started, 'modelName'>>;
  /** Told after every change of `status`. */
  onChange(): void;
  /** Told of a replica that is left out because it only fails. */
  onEjection?(route: RevisionRoute): void;
  /** Told of a start that requests waited for, and how long the first of them did, in milliseconds. */
  onColdStart(route: RevisionRoute, waitMs: number, phases: StartPhases): void;
}

interface Replica {
  readonly id: string;
  readonly server: RunningServer;
  readonly since: number;
  readonly device: string | undefined;
  readonly notes: readonly string[];
  state: 'ready' | 'draining';
}

const FIRST_BACKOFF_MS = 200;
const MAX_BACKOFF_MS = 10_000;
/** A replica that lived this long was healthy: its death does not add to the back-off. */
const HEALTHY_AFTER_MS = 10_000;
/** A start that fails may be an accident, such as a killed process; so many in a row are none. */
const HOPELESS_AFTER = 3;

/** What another try does not change: the model, or its files, are to blame. */
const PERMANENT: ReadonlySet<ErrorCode> = new Set(['invalid', 'unsupported']);

export class ManagedRevision {
  route: RevisionRoute;
  private readonly pool: ReplicaPool;
  private readonly admission: Admission;
  private readonly meter: ConcurrencyMeter;
  private readonly scaler: ReplicaScaler;
  private readonly replicas = new Map<string, Replica>();
  private starting = 0;
  private desired = 0;
  private failures = 0;
  private notBefore = 0;
  private serial = 0;
  private message = '';
  private problem: AppError | undefined;
  private retrying = false;
  private closed = false;

  constructor(private readonly options: ManagedOptions) {
    this.route = options.route;
    const { scaling } = options.route;
    this.meter = new ConcurrencyMeter(options.clock.now());
    this.scaler = new ReplicaScaler({
      nowMs: options.clock.now(),
      settings: scalingSettings({
        containerConcurrency: scaling.concurrency,
        targetUtilization: scaling.targetUtilization,
        stableWindowSec: scaling.stableWindowSec,
        scaleDownDelaySec: scaling.scaleDownDelaySec,
        minReplicas: scaling.minReplicas,
        maxReplicas: scaling.maxReplicas,
        scaleToZeroGraceSec: scaling.scaleToZeroGraceSec,
        // replicas come with the first request or the floor; and every request passes through this gateway
        initialReplicas: 0,
        targetBurstCapacity: -1,
      }),
    });
    this.admission = new Admission({ maxDelayMs: scaling.maxQueueDelayMs });
    this.pool = new ReplicaPool({
      queueLimit: options.queueLimit,
      queueTimeoutMs: scaling.queueTimeoutSec * 1000,
      onDemand: (change) => this.meter.change(options.clock.now(), change),
      outliers: () => (this.route.resilience ?? RESILIENCE_DEFAULTS).outliers,
      onEjection: (id, forMs) => this.onEjection(id, forMs),
      onAnswer: (answered) => this.admission.answered(performance.now(), answered),
      explain: () =>
        `no replica of revision ${this.route.number} was free within ${this.route.scaling.queueTimeoutSec} s${this.problem ? `: ${this.problem.message}` : this.most === 0 ? ': it has to leave its room to another revision' : ''}`,
    });
  }

  /** The replicas that answer now. */
  get ready(): readonly PooledReplica[] {
    return this.pool.replicas();
  }

  get inFlight(): number {
    return this.pool.inFlight;
  }

  lease(waiter: LeaseWaiter, wish?: LeaseWish): Lease | Waiting {
    const now = this.options.clock.now();
    if (this.problem && this.hopeless && now < this.notBefore) {
      throw new AppError('not_ready', `revision ${this.route.number} does not start: ${this.problem.message}`, {
        retryAfterSec: Math.ceil((this.notBefore - now) / 1000),
      });
    }
    if (waiter.copy !== true) this.refuseOverload();
    const lease = this.pool.lease(waiter, wish);
    if (this.pool.ready + this.starting === 0) {
      this.scaler.wake(now);
      // one that keeps dying is not started at the pace of the requests
      if (this.most > 0 && now >= this.notBefore) void this.startOne('a request came');
      else this.retryForWaiters();
    }
    return lease;
  }

  /** More replicas would help, but there can be no more: what would only stand in a queue is refused. */
  private refuseOverload(): void {
    const { maxQueueDelayMs } = this.route.scaling;
    if (this.starting > 0 || this.pool.ready < Math.max(1, this.most)) return;
    if (this.admission.admits(this.pool.inFlight)) return;
    const message = `revision ${this.route.number} has all of its ${this.most} replicas at work, and requests stand in a queue for more than ${maxQueueDelayMs} ms`;
    throw new AppError('overloaded', message, { retryAfterSec: 1 });
  }

  /** Hands the finished seconds to the autoscaler. Call each second. */
  sample(): void {
    this.meter.drain(this.options.clock.now(), (atMs, concurrency) => this.scaler.record(atMs, concurrency));
  }

  /** Looks at the load and at the floor, and starts or drains replicas. Call every two seconds, and when the floor changes. */
  adjust(floor: number): void {
    const now = this.options.clock.now();
    const decision = this.scaler.decide(now, this.pool.ready);
    const desired = Math.min(this.most, Math.max(floor, decision.desired));
    this.desired = desired;
    const kept = floor > decision.desired ? `at least ${floor} kept, by its settings or for a rollout; ` : '';
    const limited = this.route.replicaLimit === undefined ? '' : `at most ${this.most}, for a rollout; `;
    this.message = limited + kept + decision.reason;
    const alive = this.pool.ready + this.starting;
    if (alive < desired && now >= this.notBefore) {
      for (let missing = desired - alive; missing > 0; missing--) void this.startOne(this.message);
    }
    for (let extra = this.pool.ready - desired; extra > 0; extra--) {
      const id = this.pool.idlest();
      if (id !== undefined) void this.drain(id);
    }
  }

  /** Replicas that it may have at most. */
  private get most(): number {
    const { replicaLimit, scaling } = this.route;
    return replicaLimit === undefined ? scaling.maxReplicas : Math.min(replicaLimit, scaling.maxReplicas);
  }

  /** Nothing runs, nobody waits: the revision costs nothing and may be forgotten. */
  get idle(): boolean {
    return (
      this.desired === 0 &&
      this.replicas.size === 0 &&
      this.starting === 0 &&
      this.pool.waiting === 0 &&
      this.pool.busy === 0
    );
  }

  status(): RevisionStatus {
    const ejected = new Set(this.pool.ejected);
    return {
      endpointId: this.route.endpointId,
      endpoint: this.route.endpoint,
      revision: this.route.number,
      ready: this.pool.ready,
      starting: this.starting,
      busy: this.pool.busy,
      waiting: this.pool.waiting,
      message: this.problem?.message ?? this.message + this.leftOut(),
      failing: this.hopeless,
      replicas: [
        ...[...this.replicas.values()].map((replica) => ({
          id: replica.id,
          pid: replica.server.pid,
          state: replica.state === 'ready' && ejected.has(replica.id) ? ('ejected' as const) : replica.state,
          device: replica.device,
          notes: replica.notes,
        })),
        ...Array.from({ length: this.starting }, (_, at) => ({
          id: `starting-${at + 1}`,
          pid: null,
          state: 'starting' as const,
        })),
      ],
    };
  }

  /** Refuses who waits and drains every replica. */
  async close(): Promise<void> {
    this.closed = true;
    this.pool.rejectWaiters(
      new AppError('not_ready', `revision ${this.route.number} is going away`, { retryAfterSec: 1 }),
    );
    await Promise.all([...this.replicas.keys()].map((id) => this.drain(id)));
  }

  /** Whether there is no replica and another try is not likely to give one. */
  private get hopeless(): boolean {
    if (this.problem === undefined || this.pool.ready > 0) return false;
    // a model that does not load will not load by waiting
    return PERMANENT.has(this.problem.code) || this.failures >= HOPELESS_AFTER;
  }

  private async startOne(why: string): Promise<void> {
    const { clock, log } = this.options;
    this.starting++;
    this.options.onChange();
    const began = clock.now();
    try {
      const { server, phases, device, notes } = await this.options.start(this.route);
      if (this.closed) return server.kill();
      const replica: Replica = { id: `r${++this.serial}`, server, since: clock.now(), device, notes, state: 'ready' };
      this.replicas.set(replica.id, replica);
      this.admission.reset();
      this.problem = undefined;
      if (this.pool.ready === 0 && this.pool.waiting > 0)
        this.options.onColdStart(this.route, clock.now() - began, phases);
      const { forward, address } = server;
      this.pool.add({ id: replica.id, slots: this.route.scaling.concurrency, forward, address });
      log.info('replica ready', {
        endpoint: this.route.endpoint,
        revision: this.route.number,
        replica: replica.id,
        pid: server.pid,
        ...phases,
        tookMs: clock.now() - began,
        device,
        notes,
        why,
      });
      // no request may be given to it between the end of its connection and the news of its death
      void server.gone.then(() => this.pool.drop(replica.id));
      void server.exited.then((how) => this.onExit(replica, how));
    } catch (error) {
      this.onFailure(asAppError(error));
    } finally {
      this.starting--;
      this.options.onChange();
    }
  }

  private onFailure(error: AppError): void {
    this.backOff();
    this.problem = error;
    this.options.log.warn('a replica did not start', {
      endpoint: this.route.endpoint,
      revision: this.route.number,
      error: messageOf(error),
      failures: this.failures,
    });
    // a model that does not load will not load by waiting
    if (PERMANENT.has(error.code) && this.pool.ready === 0) {
      this.pool.rejectWaiters(
        new AppError('not_ready', `revision ${this.route.number} does not start: ${error.message}`),
      );
    } else this.retryForWaiters();
  }

  private onExit(replica: Replica, how: string): void {
    this.pool.drop(replica.id);
    this.replicas.delete(replica.id);
    this.admission.reset();
    if (replica.state === 'ready' && !this.closed) {
      const { clock, log } = this.options;
      log.warn('a replica died', {
        endpoint: this.route.endpoint,
        revision: this.route.number,
        replica: replica.id,
        how,
      });
      if (clock.now() - replica.since >= HEALTHY_AFTER_MS) this.failures = 0;
      else this.backOff();
      this.retryForWaiters();
    }
    this.options.onChange();
  }

  private onEjection(replica: string, forMs: number | undefined): void {
    const { endpoint, number: revision } = this.route;
    if (forMs === undefined)
      this.options.log.info('a replica that was left out gets requests again', { endpoint, revision, replica });
    else {
      this.options.log.warn('a replica only fails and is left out', { endpoint, revision, replica, forMs });
      this.options.onEjection?.(this.route);
    }
    this.options.onChange();
  }

  /** Of the replicas that only fail, in words. */
  private leftOut(): string {
    const count = this.pool.ejected.length;
    return count === 0 ? '' : `; ${count} of ${this.pool.ready} replicas left out for a while: they only failed`;
  }

  private backOff(): void {
    this.notBefore = this.options.clock.now() + Math.min(MAX_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** this.failures);
    this.failures++;
  }

  /** Requests that wait are not left to the next look at the load. */
  private retryForWaiters(): void {
    const { clock } = this.options;
    if (this.retrying) return;
    this.retrying = true;
    const wait = async () => {
      // another failure meanwhile moves the time
      do await clock.sleep(Math.max(0, this.notBefore - clock.now()));
      while (clock.now() < this.notBefore);
      this.retrying = false;
      if (!this.closed && this.most > 0 && this.pool.waiting > 0 && this.pool.ready + this.starting === 0)
        void this.startOne('requests wait for a replacement');
    };
    void wait();
  }

  private async drain(id: string): Promise<void> {
    const replica = this.replicas.get(id);
    if (!replica || replica.state === 'draining') return;
    replica.state = 'draining';
    this.options.onChange();
    await this.pool.drain(id);
    await replica.server.stop();
  }
}
