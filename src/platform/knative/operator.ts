/**
 * Keeps Knative as the endpoints want it: one Service each, one Revision a revision, traffic and floors; and says where the
 * revisions answer. Level-triggered: every look compares what is wanted with what is there, so that nothing depends on
 * having seen a change. Only the leader runs one.
 */
import type { Clock } from '../../clock.js';
import { revisionName, serviceName } from '../../core/cluster-names.js';
import { type AddressReport, wasDeleted, writeAddresses } from '../../core/endpoints/address-store.js';
import type { RevisionStatus } from '../../core/fleet.js';
import type { EndpointRoute, RevisionRoute } from '../../core/inference/route.js';
import type { Db } from '../../core/schema.js';
import { messageOf } from '../../errors.js';
import type { Log } from '../../log.js';
import type { KubernetesApi } from '../kubernetes/api.js';
import { Mirror } from '../kubernetes/mirror.js';
import { type KubeObject, PODS, type Pod } from '../kubernetes/objects.js';
import { decide, floorOf, type Settings } from './decide.js';
import {
  AUTOSCALERS,
  type KnativeRevision,
  type KnativeService,
  LABELS,
  MIN_SCALE,
  OURS,
  REVISIONS,
  SERVICES,
} from './kinds.js';
import { LastWords } from './last-words.js';
import { addressOf, lookAtRevision, type Observed } from './observe.js';
import { whyNotHere } from './template.js';

export interface OperatorOptions {
  readonly api: KubernetesApi;
  readonly db: Db;
  readonly settings: Settings;
  readonly ingressUrl: string | undefined;
  /** The endpoints as the routing has them. */
  endpoints(): Iterable<EndpointRoute>;
  onStatus(status: RevisionStatus): void;
  readonly clock: Clock;
  readonly log: Log;
}

/** Changes of this long are looked at together. */
const GATHER_MS = 50;
/** Without a change all is looked at this often: warmth ends with time alone. */
const LOOK_MS = 2000;
const FIRST_BACKOFF_MS = 500;
const MAX_BACKOFF_MS = 30_000;

/** What is remembered of an endpoint between looks. */
interface Memory {
  /** The Service that was applied last, and the generation that it had then. */
  applied: string;
  generation: number | undefined;
  failures: number;
  notBefore: number;
  refusal: string;
}

export class Operator {
  private readonly services: Mirror<KnativeService>;
  private readonly revisions: Mirror<KnativeRevision>;
  private readonly scalers: Mirror<KubeObject>;
  private readonly pods: Mirror<Pod>;
  private readonly memories = new Map<string, Memory>();
  private readonly reported = new Map<string, string>();
  private readonly words: LastWords;
  private wake: () => void = () => {};

  constructor(
    private readonly options: OperatorOptions,
    private readonly signal: AbortSignal,
  ) {
    const { api, clock, log } = options;
    const onChange = () => this.wake();
    const common = { api, selection: OURS, clock, log, onChange };
    this.services = new Mirror({ ...common, kind: SERVICES });
    this.revisions = new Mirror({ ...common, kind: REVISIONS });
    this.scalers = new Mirror({ ...common, kind: AUTOSCALERS });
    this.pods = new Mirror({ ...common, kind: PODS });
    this.words = new LastWords(api, onChange);
  }

  /** Runs until the signal aborts. */
  async run(): Promise<void> {
    const { clock } = this.options;
    const mirrors = [this.services, this.revisions, this.scalers, this.pods];
    const aborted = new Promise<void>((resolve) => this.signal.addEventListener('abort', () => resolve()));
    try {
      await Promise.race([Promise.all(mirrors.map(({ synced }) => synced)), aborted]);
      while (!this.signal.aborted) {
        const changed = new AbortController();
        this.wake = () => changed.abort();
        await this.lookAtAll();
        await clock.sleep(LOOK_MS, AbortSignal.any([this.signal, changed.signal])).catch(() => {});
        await clock.sleep(GATHER_MS, this.signal).catch(() => {});
      }
    } finally {
      await Promise.all(mirrors.map((mirror) => mirror.close()));
    }
  }

  private async lookAtAll(): Promise<void> {
    const seen = new Set<string>();
    for (const endpoint of this.options.endpoints()) {
      if (this.signal.aborted) return;
      seen.add(endpoint.id);
      if (endpoint.suspended) await this.remove(endpoint.id);
      else await this.keep(endpoint);
    }
    const strangers = new Set<string>();
    for (const { metadata } of this.services.all()) {
      const id = metadata.labels?.[LABELS.endpointId];
      if (id !== undefined && !seen.has(id)) strangers.add(id);
    }
    for (const id of strangers) {
      if (this.signal.aborted) return;
      // an endpoint may be newer than what the routing has heard of
      if (await wasDeleted(this.options.db, id).catch(() => false)) await this.remove(id);
    }
    for (const id of this.memories.keys()) if (!seen.has(id)) this.memories.delete(id);
  }

  private async keep(endpoint: EndpointRoute): Promise<void> {
    const { clock, log } = this.options;
    const memory = this.memoryOf(endpoint.id);
    if (memory.notBefore <= clock.now()) {
      try {
        await this.act(endpoint, memory);
        memory.failures = 0;
      } catch (error) {
        memory.refusal = messageOf(error);
        memory.notBefore = clock.now() + Math.min(MAX_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** memory.failures++);
        log.warn('Knative is not as an endpoint wants it', { endpoint: endpoint.name, error: memory.refusal });
      }
    }
    await this.report(endpoint, memory).catch((error) =>
      log.warn('cannot write where revisions answer', { endpoint: endpoint.name, error: messageOf(error) }),
    );
  }

  private async act(endpoint: EndpointRoute, memory: Memory): Promise<void> {
    const { api, settings, clock } = this.options;
    const mirrored = this.presentOf(endpoint);
    // what is not ours the mirror does not show, and an apply would take it over
    const service =
      mirrored.service ?? (await api.get<KnativeService>(SERVICES, serviceName(endpoint.name, endpoint.id)));
    const present = { ...mirrored, service };
    const decision = decide(endpoint, present, settings, clock.now());
    if (decision.foreign) {
      throw new Error(
        `there is a Knative Service "${decision.service}" that Sluice did not make: remove it, or give the endpoint another name`,
      );
    }
    const { wanted } = decision;
    if (wanted) {
      const text = JSON.stringify(wanted);
      const generation = present.service?.metadata.generation;
      // the mirror may be behind our own last change; only another's makes it differ for long
      const stands = text === memory.applied && generation !== undefined && generation <= (memory.generation ?? 0);
      if (!stands) {
        const applied = await api.apply<KnativeService>(SERVICES, wanted);
        memory.applied = text;
        memory.generation = applied.metadata.generation;
      }
    }
    memory.refusal = '';
    for (const name of decision.superfluous) {
      const { uid } = present.revision(name)?.metadata ?? {};
      if (!this.signal.aborted && uid !== undefined) await api.delete(REVISIONS, name, { uid });
    }
    for (const route of endpoint.revisions.values()) await this.setFloor(endpoint, route, decision.service);
  }

  /** On the autoscaler itself: the same annotation on a Revision would replace its pods. */
  private async setFloor(endpoint: EndpointRoute, route: RevisionRoute, service: string): Promise<void> {
    const name = revisionName(service, route.number);
    const scaler = this.scalers.get(name);
    if (!scaler || this.signal.aborted) return;
    const floor = floorOf(endpoint, route, this.options.clock.now());
    if (Number(scaler.metadata.annotations?.[MIN_SCALE] ?? '0') === floor) return;
    await this.options.api.patch(AUTOSCALERS, name, { metadata: { annotations: { [MIN_SCALE]: String(floor) } } });
  }

  private async remove(endpointId: string): Promise<void> {
    for (const { metadata } of this.services.all()) {
      if (metadata.labels?.[LABELS.endpointId] !== endpointId || metadata.deletionTimestamp !== undefined) continue;
      if (this.signal.aborted || metadata.uid === undefined) return;
      await this.options.api
        .delete(SERVICES, metadata.name, { uid: metadata.uid })
        .catch((error) =>
          this.options.log.warn('cannot delete a Knative Service', { name: metadata.name, error: messageOf(error) }),
        );
    }
    this.memories.delete(endpointId);
  }

  private async report(endpoint: EndpointRoute, { refusal }: Memory): Promise<void> {
    const { api, ingressUrl } = this.options;
    const present = this.presentOf(endpoint);
    const service = serviceName(endpoint.name, endpoint.id);
    const pods = [...this.pods.all()].filter((pod) => pod.metadata.labels?.[LABELS.endpointId] === endpoint.id);
    const observed: Observed = { service: present.service, revision: present.revision, pods };
    const reports: AddressReport[] = [];
    for (const route of endpoint.revisions.values()) {
      const address = addressOf(service, route, observed, { namespace: api.namespace, ingressUrl });
      const said = {
        service,
        refusal: whyNotHere(route) ?? refusal,
        words: (pod: string) => this.words.of(pod),
      };
      const { status, problem, ended } = lookAtRevision(endpoint, route, observed, said);
      if (ended) this.words.read(ended.pod, ended.container);
      const elsewhere = route.server?.url !== undefined;
      this.options.onStatus(elsewhere ? { ...status, ready: 1, message: `answers at ${route.server?.url}` } : status);
      const report = { endpointId: endpoint.id, revision: route.number, address, problem: address ? '' : problem };
      const known = JSON.stringify([address ?? null, report.problem]);
      const stored = JSON.stringify([route.address ?? null, route.problem ?? '']);
      // the routing hears of a change a moment after it was written
      if (known !== stored && this.reported.get(route.key) !== known) reports.push(report);
    }
    if (this.signal.aborted) return;
    await writeAddresses(this.options.db, reports);
    for (const { endpointId, revision, address, problem } of reports)
      this.reported.set(`${endpointId}/${revision}`, JSON.stringify([address ?? null, problem]));
  }

  private presentOf(endpoint: EndpointRoute) {
    const mine = ({ metadata }: KubeObject) => metadata.labels?.[LABELS.endpointId] === endpoint.id;
    const revision = (name: string) => this.revisions.get(name);
    const names = [...this.revisions.all()].filter(mine).map(({ metadata }) => metadata.name);
    const service = [...this.services.all()].find(mine);
    return { service, revision, names };
  }

  private memoryOf(id: string): Memory {
    let memory = this.memories.get(id);
    if (!memory) {
      memory = { applied: '', generation: undefined, failures: 0, notBefore: 0, refusal: '' };
      this.memories.set(id, memory);
    }
    return memory;
  }
}
