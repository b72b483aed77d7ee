/**
 * Keeps the endpoints on Knative as they are in Sluice: looks at what is there, plans, acts, and reports where each
 * revision answers. Level-triggered: a change of either side, or a few seconds without one, makes it look at the whole
 * endpoint again, so that it does not matter what was missed or who changed it.
 */
import type { RawBuilder } from 'kysely';
import type { Clock } from '../../clock.js';
import { Slots } from '../../core/batch/slots.js';
import { whatBecameOf } from '../../core/endpoints/address-store.js';
import type { RevisionStatus } from '../../core/fleet.js';
import type { EndpointRoute } from '../../core/inference/route.js';
import type { Db } from '../../core/schema.js';
import { AppError, asAppError, messageOf } from '../../errors.js';
import type { Log } from '../../log.js';
import type { KubernetesApi } from '../kubernetes/api.js';
import { Actions } from './actions.js';
import { Mirrors } from './mirrors.js';
import { LABEL_ENDPOINT_ID, serviceOf } from './names.js';
import { type KnativeService, SERVICES } from './objects.js';
import { type Observed, type Plan, planOf } from './plan.js';
import { Refusals } from './refusals.js';
import { Reporter } from './reporter.js';
import type { KnativeSettings } from './template.js';

export interface OperatorOptions {
  readonly api: KubernetesApi;
  readonly db: Db;
  readonly settings: KnativeSettings;
  /** Aborted when this operator must not write any more. */
  readonly signal: AbortSignal;
  /** The same, as the database knows it. */
  readonly holds: RawBuilder<boolean>;
  readonly clock: Clock;
  readonly log: Log;
  onStatus(status: RevisionStatus): void;
}

/** What comes within this is looked at together. */
const GATHER_MS = 20;
const LOOK_AGAIN_MS = 5000;
const FIRST_BACKOFF_MS = 500;
const MAX_BACKOFF_MS = 30_000;
/** Endpoints looked at, at the same time. */
const AT_ONCE = 8;

interface Work {
  running: boolean;
  again: boolean;
  failures: number;
  notBefore: number;
  timer: NodeJS.Timeout | undefined;
}

export class Operator {
  private readonly routes = new Map<string, EndpointRoute>();
  private readonly work = new Map<string, Work>();
  private readonly refusals: Refusals;
  private readonly mirrors: Mirrors;
  private readonly actions: Actions;
  private readonly reporter: Reporter;
  private readonly slots = new Slots(AT_ONCE);
  private readonly underWay = new Set<Promise<void>>();
  private readonly looking: NodeJS.Timeout;
  private readonly stopped: Promise<unknown>;
  private known = false;

  constructor(private readonly options: OperatorOptions) {
    const { api, clock, log, signal } = options;
    this.refusals = new Refusals(clock);
    this.mirrors = new Mirrors({ api, clock, log, onChange: (id) => this.enqueue(id) });
    this.actions = new Actions(api, signal, log);
    this.reporter = new Reporter(options);
    this.stopped = new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
    this.looking = setInterval(() => this.lookAgain(), LOOK_AGAIN_MS);
    void this.mirrors.synced.then(() => this.lookAgain());
  }

  /** Takes an endpoint's present route over; undefined: it is gone. */
  sync(endpointId: string, route: EndpointRoute | undefined): void {
    if (route) this.routes.set(endpointId, route);
    else this.routes.delete(endpointId);
    this.enqueue(endpointId);
  }

  /** From now on an endpoint without a route is one that is gone. */
  allKnown(): void {
    this.known = true;
    this.lookAgain();
  }

  async close(): Promise<void> {
    clearInterval(this.looking);
    for (const { timer } of this.work.values()) clearTimeout(timer);
    await Promise.all([this.mirrors.close(), ...this.underWay]);
  }

  private lookAgain(): void {
    for (const id of this.routes.keys()) this.enqueue(id);
    for (const id of this.mirrors.endpoints()) if (!this.routes.has(id)) this.enqueue(id);
  }

  private enqueue(id: string): void {
    const { clock, signal } = this.options;
    if (signal.aborted) return;
    let work = this.work.get(id);
    if (!work) {
      work = { running: false, again: false, failures: 0, notBefore: 0, timer: undefined };
      this.work.set(id, work);
    }
    if (work.running) work.again = true;
    else if (!work.timer) {
      const waitMs = Math.max(GATHER_MS, work.notBefore - clock.now());
      work.timer = setTimeout(() => this.start(id), waitMs);
    }
  }

  private start(id: string): void {
    const work = this.work.get(id);
    if (!work || this.options.signal.aborted) return;
    work.timer = undefined;
    work.running = true;
    work.again = false;
    const turn = this.turn(id, work).finally(() => {
      this.underWay.delete(turn);
      work.running = false;
      if (work.again || work.failures > 0) this.enqueue(id);
      else if (!this.routes.has(id)) this.work.delete(id);
    });
    this.underWay.add(turn);
  }

  private async turn(id: string, work: Work): Promise<void> {
    const { clock, log, signal } = this.options;
    let release: (() => void) | undefined;
    try {
      release = await this.slots.take(signal);
      await this.reconcile(id);
      work.failures = 0;
      work.notBefore = 0;
    } catch (error) {
      if (signal.aborted) return;
      const waitMs = Math.min(MAX_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** work.failures++) * (0.5 + Math.random() / 2);
      work.notBefore = clock.now() + waitMs;
      const endpoint = this.routes.get(id)?.name ?? id;
      log.warn('an endpoint could not be brought to Knative; it is tried again', {
        endpoint,
        error: messageOf(error),
        waitMs: Math.round(waitMs),
      });
      const route = this.routes.get(id);
      if (route) await this.reporter.trouble(route, asAppError(error)).catch(() => {});
    } finally {
      release?.();
    }
  }

  private async reconcile(id: string): Promise<void> {
    const { settings, clock, signal } = this.options;
    // an API server that is away from the beginning: nothing is known of what is there
    await Promise.race([this.mirrors.synced, this.stopped]);
    signal.throwIfAborted();
    const route = this.routes.get(id);
    if (!route && !(await this.isDeleted(id))) return;
    const observed = await this.observe(id, route);
    const refused = this.refusals.of(id);
    const plan = planOf(route, observed, settings, { nowMs: clock.now(), refused: new Set(refused.keys()) });
    let trouble: unknown;
    try {
      await this.act(id, plan);
    } catch (error) {
      trouble = error;
    }
    if (route) {
      const pods = this.mirrors.podsOf(id);
      await this.reporter.report(route, { ...observed, pods, refused: this.refusals.of(id) });
    }
    if (trouble !== undefined) throw trouble;
  }

  /** Only what the database says was deleted: what it never knew is another installation's, or a mistake. */
  private async isDeleted(id: string): Promise<boolean> {
    if (!this.known) return false;
    return (await whatBecameOf(this.options.db, id)) === 'deleted';
  }

  private async observe(id: string, route: EndpointRoute | undefined): Promise<Observed> {
    let service = this.mirrors.service(id);
    // it may be there without its labels, or be somebody else's
    if (!service && route) service = await this.unlabelled(route);
    return {
      service,
      revisions: this.mirrors.revisionsOf(id),
      autoscaler: (name) => this.mirrors.autoscaler(name),
    };
  }

  private async unlabelled(route: EndpointRoute): Promise<KnativeService | undefined> {
    const name = serviceOf(route);
    const found = await this.options.api.get<KnativeService>(SERVICES, name);
    if (!found) return undefined;
    const { labels, annotations } = found.metadata;
    const ours = labels?.[LABEL_ENDPOINT_ID] === route.id || annotations?.[LABEL_ENDPOINT_ID] === route.id;
    if (ours) return found;
    throw new AppError(
      'conflict',
      `there is a Knative Service "${name}" that Sluice did not make; it is left alone: delete or rename it`,
      { details: { service: name } },
    );
  }

  private async act(id: string, plan: Plan): Promise<void> {
    const { apply } = plan;
    if (plan.removeService) await this.actions.removeService(plan.removeService);
    if (apply) {
      try {
        await this.actions.apply(apply.service);
        if (apply.creates !== undefined) this.refusals.forget(id, apply.creates);
      } catch (error) {
        if (apply.creates === undefined || !isRefusal(error)) throw error;
        this.refusals.note(id, apply.creates, error);
        // the others do not wait for it
        this.enqueue(id);
      }
    }
    for (const revision of plan.removeRevisions) await this.actions.removeRevision(revision);
    for (const floor of plan.floors) await this.actions.setFloor(floor);
  }
}

/** The API server, or a webhook of it, has looked at it and will not have it. */
function isRefusal(error: unknown): error is AppError {
  return error instanceof AppError && (error.code === 'invalid' || error.code === 'forbidden');
}
