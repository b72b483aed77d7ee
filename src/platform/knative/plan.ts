/** What is to be done so that an endpoint is on Knative as it is in Sluice. Pure: what is there goes in, steps come out. */
import { type EndpointRoute, type RevisionRoute, replicaFloor, revisionsInUse } from '../../core/inference/route.js';
import { conditionOf } from '../kubernetes/objects.js';
import { endpointLabels, LABEL_ENDPOINT_ID, LABEL_REVISION, revisionOf, serviceOf } from './names.js';
import {
  type KnativeRevision,
  type KnativeService,
  type KnativeTarget,
  MIN_SCALE,
  type PodAutoscaler,
  type RevisionTemplate,
} from './objects.js';
import { type KnativeSettings, onKnative, templateOf } from './template.js';
import { sameTraffic, trafficOf } from './traffic.js';

/** What is there of one endpoint, all of it ours. */
export interface Observed {
  readonly service: KnativeService | undefined;
  readonly revisions: readonly KnativeRevision[];
  /** By the name of the revision. */
  autoscaler(name: string): PodAutoscaler | undefined;
}

export interface Plan {
  /** To be applied. `creates`: the revision that it makes. */
  readonly apply?: { readonly service: KnativeService; readonly creates: number | undefined } | undefined;
  readonly removeService?: KnativeService | undefined;
  readonly removeRevisions: readonly KnativeRevision[];
  /** Where the floor moved, on its autoscaler alone: the same annotation on the revision would replace its pods. */
  readonly floors: readonly { readonly name: string; readonly floor: number }[];
}

const NOTHING: Plan = { removeRevisions: [], floors: [] };

/** Decides who may see the Service from outside of the cluster. */
const VISIBILITY = 'networking.knative.dev/visibility';

export function numberOf({ metadata: { labels } }: KnativeRevision): number {
  return Number(labels?.[LABEL_REVISION] ?? Number.NaN);
}

/** Revisions that stay on the cluster: with traffic, a tag or a rule, kept warm, or among the newest. */
export function keptRevisions(endpoint: EndpointRoute, keep: number, nowMs: number): RevisionRoute[] {
  const ours = [...endpoint.revisions.values()].filter(onKnative).sort((a, b) => b.number - a.number);
  const inUse = revisionsInUse(endpoint);
  return ours.filter((one, at) => at < keep || inUse.has(one.number) || one.warmUntilMs > nowMs);
}

/** `refused`: revisions that the API server would not take a moment ago. */
export function planOf(
  endpoint: EndpointRoute | undefined,
  observed: Observed,
  settings: KnativeSettings,
  { nowMs, refused }: { readonly nowMs: number; readonly refused: ReadonlySet<number> },
): Plan {
  const { service } = observed;
  const kept = endpoint && !endpoint.suspended ? keptRevisions(endpoint, settings.keepRevisions, nowMs) : [];
  if (!endpoint || kept.length === 0)
    return service && !isEnding(service) ? { ...NOTHING, removeService: service } : NOTHING;
  if (service && isEnding(service)) return NOTHING;
  // what a Service left behind that is gone would be in the way of the new one's revisions
  if (!service && observed.revisions.length > 0)
    return { ...NOTHING, removeRevisions: observed.revisions.filter((one) => !isEnding(one)) };
  const living = observed.revisions.filter((one) => !isEnding(one));
  const apply = applyOf(endpoint, kept, { ...observed, revisions: living }, settings, refused);
  const wanted = new Set(kept.map(({ number }) => number));
  const named = new Set(
    [...(service?.spec.traffic ?? []), ...(service?.status?.traffic ?? []), ...(apply?.service.spec.traffic ?? [])].map(
      ({ revisionName: name }) => name,
    ),
  );
  const template = service?.spec.template.metadata.name;
  const isFree = ({ metadata: { name } }: KnativeRevision) => !named.has(name) && name !== template;
  return {
    apply,
    removeRevisions: service ? living.filter((one) => !wanted.has(numberOf(one)) && isFree(one)) : [],
    floors: living.flatMap((one) => {
      const revision = endpoint.revisions.get(numberOf(one));
      if (!revision) return [];
      const floor = replicaFloor(endpoint, revision, nowMs);
      const { name } = one.metadata;
      const autoscaler = observed.autoscaler(name);
      return autoscaler && differs(autoscaler, floor) ? [{ name, floor }] : [];
    }),
  };
}

function differs({ metadata }: PodAutoscaler, floor: number): boolean {
  return Number(metadata.annotations?.[MIN_SCALE] ?? '0') !== floor;
}

function isEnding({ metadata }: { readonly metadata: { readonly deletionTimestamp?: string } }): boolean {
  return metadata.deletionTimestamp !== undefined;
}

/** The Service as it is to be, where it is another; one new revision at a time, because a Service has one template. */
function applyOf(
  endpoint: EndpointRoute,
  kept: readonly RevisionRoute[],
  { service, revisions }: Observed,
  settings: KnativeSettings,
  refused: ReadonlySet<number>,
): Plan['apply'] {
  const there = new Map(revisions.map((one) => [numberOf(one), one]));
  const next = firstMissing(endpoint, kept, there, refused);
  const present = kept.map(({ number }) => number).filter((number) => there.has(number));
  if (present.length === 0 && !next) return undefined;
  const template = next ? templateOf(endpoint, next, settings) : keptTemplate(endpoint, service, there, present);
  const current = service?.spec.template;
  const sameTemplate = current !== undefined && current.metadata.name === template.metadata.name;
  const now = service?.spec.traffic ?? [];
  const traffic = nextTraffic(endpoint, now, { present, there, next });
  const labels = serviceLabels(endpoint, settings);
  if (service && sameTemplate && sameTraffic(traffic, now) && sameLabels(service, labels)) return undefined;
  return {
    creates: sameTemplate ? undefined : next?.number,
    service: {
      metadata: {
        name: serviceOf(endpoint),
        ...(service?.metadata.uid ? { uid: service.metadata.uid } : {}),
        labels,
        // labels may be lost to a hand; two marks are not lost at once
        annotations: { [LABEL_ENDPOINT_ID]: endpoint.id },
      },
      // one of the same name must stay what it is, with all that was filled in
      spec: { template: sameTemplate ? current : template, traffic },
    },
  };
}

/** Those with traffic come first, then the others from the oldest on. */
function firstMissing(
  { targets }: EndpointRoute,
  kept: readonly RevisionRoute[],
  there: ReadonlyMap<number, KnativeRevision>,
  refused: ReadonlySet<number>,
): RevisionRoute | undefined {
  const share = (number: number) => targets.find(({ revision }) => revision.number === number)?.percent ?? 0;
  return kept
    .filter(({ number }) => !there.has(number) && !refused.has(number))
    .sort((a, b) => share(b.number) - share(a.number) || a.number - b.number)[0];
}

/** With nothing to make, the template stays; one that is no kept revision's becomes the newest one's again. */
function keptTemplate(
  endpoint: EndpointRoute,
  service: KnativeService | undefined,
  there: ReadonlyMap<number, KnativeRevision>,
  present: readonly number[],
): RevisionTemplate {
  const current = service?.spec.template;
  if (current && present.some((number) => revisionOf(endpoint, number) === current.metadata.name)) return current;
  const newest = there.get(Math.max(...present)) as KnativeRevision;
  const { name, labels, annotations } = newest.metadata;
  const own = (values: Readonly<Record<string, string>> = {}, ours: RegExp) =>
    Object.fromEntries(Object.entries(values).filter(([key]) => ours.test(key)));
  return {
    metadata: {
      name,
      labels: own(labels, /^(app\.kubernetes\.io\/managed-by|sluice\.dev\/)/),
      annotations: own(annotations, /^(autoscaling\.knative\.dev\/|serving\.knative\.dev\/(no-gc|progress-deadline)$)/),
    },
    spec: newest.spec,
  };
}

/**
 * A tag that is there stays while nothing else changes; when the traffic is written anew, only revisions that are ready
 * are named for their tag alone, since one that is not would keep Knative from taking over any of it. For the same reason
 * a share begins when its revision is ready for the first time; later it stays, as what has no share is not kept running.
 */
function nextTraffic(
  endpoint: EndpointRoute,
  now: readonly KnativeTarget[],
  have: {
    readonly present: readonly number[];
    readonly there: ReadonlyMap<number, KnativeRevision>;
    readonly next: RevisionRoute | undefined;
  },
): KnativeTarget[] {
  const { there, next } = have;
  const present = have.present.length > 0 || !next ? have.present : [next.number];
  const ready = new Set(present.filter((number) => isReady(there.get(number))));
  const among = (named: readonly KnativeTarget[]) => {
    const names = new Set(named.map(({ revisionName: name }) => name));
    return new Set(present.filter((number) => ready.has(number) || names.has(revisionOf(endpoint, number))));
  };
  const served = among(now.filter(({ percent }) => (percent ?? 0) > 0));
  const lenient = trafficOf(endpoint, { present, served, tagged: among(now.filter(({ tag }) => tag !== undefined)) });
  return sameTraffic(lenient, now) ? lenient : trafficOf(endpoint, { present, served, tagged: ready });
}

export function isReady(revision: KnativeRevision | undefined): boolean {
  return revision !== undefined && conditionOf(revision, 'Ready')?.status === 'True';
}

function serviceLabels(endpoint: EndpointRoute, { ingressUrl }: KnativeSettings): Record<string, string> {
  // what asks for a key is not to be had without one by going around the gateway
  const hidden = endpoint.access === 'key' && ingressUrl === undefined;
  return { ...endpointLabels(endpoint), ...(hidden ? { [VISIBILITY]: 'cluster-local' } : {}) };
}

function sameLabels({ metadata: { labels, annotations } }: KnativeService, wanted: Record<string, string>): boolean {
  const ids = annotations?.[LABEL_ENDPOINT_ID] === wanted[LABEL_ENDPOINT_ID];
  const all = Object.entries(wanted).every(([key, value]) => labels?.[key] === value);
  return ids && all && labels?.[VISIBILITY] === wanted[VISIBILITY];
}
