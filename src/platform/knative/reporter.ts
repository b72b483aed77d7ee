/** Tells the gateways where each revision answers, and everybody how it fares. */
import type { RawBuilder } from 'kysely';
import type { Clock } from '../../clock.js';
import { noteAddress } from '../../core/endpoints/address-store.js';
import type { RevisionStatus } from '../../core/fleet.js';
import type { EndpointRoute, RevisionRoute } from '../../core/inference/route.js';
import type { Db } from '../../core/schema.js';
import type { AppError } from '../../errors.js';
import type { KubernetesApi } from '../kubernetes/api.js';
import { LastLines } from '../kubernetes/last-lines.js';
import type { Pod } from '../kubernetes/objects.js';
import { LABEL_REVISION } from './names.js';
import type { KnativeRevision, KnativeService } from './objects.js';
import { keptRevisions, numberOf } from './plan.js';
import { type RevisionReport, reportOf } from './report.js';
import { type KnativeSettings, onKnative, unfit } from './template.js';
import { reportOfUrl } from './url-server.js';

export interface ReporterOptions {
  readonly api: KubernetesApi;
  readonly db: Db;
  readonly settings: KnativeSettings;
  readonly signal: AbortSignal;
  readonly holds: RawBuilder<boolean>;
  readonly clock: Clock;
  onStatus(status: RevisionStatus): void;
}

export interface SeenEndpoint {
  readonly service: KnativeService | undefined;
  readonly revisions: readonly KnativeRevision[];
  readonly pods: readonly Pod[];
  readonly refused: ReadonlyMap<number, string>;
}

export class Reporter {
  private readonly lastLines: LastLines;
  /** What was noted last of each revision, so that what is the same is not written again. */
  private readonly noted = new Map<string, string>();
  private readonly told = new Map<string, string>();

  constructor(private readonly options: ReporterOptions) {
    this.lastLines = new LastLines(options.api);
  }

  async report(endpoint: EndpointRoute, seen: SeenEndpoint): Promise<void> {
    const { settings, clock } = this.options;
    const kept = new Set(
      endpoint.suspended
        ? []
        : keptRevisions(endpoint, settings.keepRevisions, clock.now()).map(({ number }) => number),
    );
    for (const route of endpoint.revisions.values()) {
      if (!onKnative(route)) await this.reportForeign(endpoint, route);
      else if (kept.has(route.number)) await this.reportKept(endpoint, route, seen);
      else await this.say(route, { address: undefined, problem: '', status: gone(route) });
    }
  }

  /** What an attempt came to grief over; of revisions that answer it is told, but is no problem of theirs. */
  async trouble(endpoint: EndpointRoute, { message }: AppError): Promise<void> {
    for (const route of endpoint.revisions.values()) {
      if (!onKnative(route) || route.address) continue;
      await this.note(route, 'keep', message);
      this.tell({ ...gone(route), message, failing: true });
    }
  }

  private async reportKept(endpoint: EndpointRoute, route: RevisionRoute, seen: SeenEndpoint): Promise<void> {
    const { settings, signal } = this.options;
    const revision = seen.revisions.find((one) => numberOf(one) === route.number);
    const own = seen.pods.filter(({ metadata: { labels } }) => labels?.[LABEL_REVISION] === String(route.number));
    const pods = await Promise.all(own.map(async (pod) => ({ pod, words: await this.lastLines.wordsOf(pod, signal) })));
    const refused = seen.refused.get(route.number);
    const { service } = seen;
    await this.say(route, reportOf(endpoint, route, { service, revision, pods, refused }, settings), true);
  }

  /** Whom Knative does not run. */
  private async reportForeign(endpoint: EndpointRoute, route: RevisionRoute): Promise<void> {
    const problem = unfit(route);
    if (problem !== undefined) {
      const status = { ...gone(route), message: problem, failing: true };
      await this.say(route, { address: undefined, problem, status });
    } else await this.say(route, await reportOfUrl(endpoint, route, this.options.clock.now()));
  }

  /** `lasting`: an address that it had stays while it has none. */
  private async say(route: RevisionRoute, report: RevisionReport, lasting = false): Promise<void> {
    await this.note(route, report.address ?? (lasting ? 'keep' : undefined), report.problem);
    this.tell(report.status);
  }

  private async note(
    { key, endpointId, number }: RevisionRoute,
    address: RevisionReport['address'] | 'keep',
    problem: string,
  ): Promise<void> {
    const { db, holds, signal } = this.options;
    const text = JSON.stringify([address, problem]);
    if (this.noted.get(key) === text) return;
    signal.throwIfAborted();
    await noteAddress(db, { endpointId, revision: number, address, problem }, holds);
    this.noted.set(key, text);
  }

  private tell(status: RevisionStatus): void {
    const { signal, onStatus } = this.options;
    const key = `${status.endpointId}/${status.revision}`;
    const text = JSON.stringify(status);
    if (this.told.get(key) === text || signal.aborted) return;
    this.told.set(key, text);
    onStatus(status);
  }
}

function gone({ endpointId, endpoint, number }: RevisionRoute): RevisionStatus {
  return {
    endpointId,
    endpoint,
    revision: number,
    ready: 0,
    starting: 0,
    busy: 0,
    waiting: 0,
    message: 'not on the cluster',
    failing: false,
    replicas: [],
  };
}
