/** What is to be done about one endpoint on Knative, from what is wanted and what is there. Pure. */
import { revisionName, serviceName } from '../../core/cluster-names.js';
import type { EndpointRoute, RevisionRoute } from '../../core/inference/route.js';
import { type KnativeRevision, type KnativeService, LABELS, MANAGER, type Template } from './kinds.js';
import { labelsOf, revisionTemplate, type TemplateSettings, whyNotHere } from './template.js';
import { trafficOf } from './traffic.js';

export interface Settings extends TemplateSettings {
  /** How many of the newest revisions stay, besides those with traffic. */
  readonly keepRevisions: number;
}

export interface Present {
  readonly service: KnativeService | undefined;
  /** Knative's Revisions by name. */
  revision(name: string): KnativeRevision | undefined;
  /** Names of those of this Service. */
  readonly names: readonly string[];
}

export interface Decision {
  readonly service: string;
  /** The whole Service as it should be; undefined: none, or nothing can be made. */
  readonly wanted: KnativeService | undefined;
  /** Revisions that nobody wants any more, by name. */
  readonly superfluous: readonly string[];
  /** Why nothing may be done: the name is somebody else's. */
  readonly foreign: boolean;
}

/** The revisions that are to be on the cluster, the oldest first. */
export function keptRevisions(endpoint: EndpointRoute, { keepRevisions }: Settings, nowMs: number): RevisionRoute[] {
  const here = [...endpoint.revisions.values()].filter(
    (route) => route.server?.url === undefined && whyNotHere(route) === undefined,
  );
  const newest = here.map(({ number }) => number).sort((a, b) => b - a);
  const kept = new Set([...newest.slice(0, keepRevisions), ...endpoint.targets.map(({ revision }) => revision.number)]);
  return here
    .filter(({ number, warmUntilMs }) => kept.has(number) || warmUntilMs > nowMs)
    .sort((a, b) => a.number - b.number);
}

/** The least number of pods, as on one machine: with traffic what the settings say, and one for a rollout. */
export function floorOf(endpoint: EndpointRoute, route: RevisionRoute, nowMs: number): number {
  const served = endpoint.targets.some(({ revision, percent }) => revision.number === route.number && percent > 0);
  return Math.max(served ? route.scaling.minReplicas : 0, route.warmUntilMs > nowMs ? 1 : 0);
}

export function decide(endpoint: EndpointRoute, present: Present, settings: Settings, nowMs: number): Decision {
  const service = serviceName(endpoint.name, endpoint.id);
  const live = present.service;
  const foreign = live !== undefined && !isOurs(live, endpoint.id);
  const kept = keptRevisions(endpoint, settings, nowMs);
  if (foreign || kept.length === 0) return { service, wanted: undefined, superfluous: [], foreign };
  const nameOf = ({ number }: RevisionRoute) => revisionName(service, number);
  const missing = kept.find((route) => !present.revision(nameOf(route)));
  const there = kept.filter((route) => present.revision(nameOf(route)));
  const names = new Set(kept.map(nameOf));
  const template = missing
    ? revisionTemplate(endpoint.project, service, missing, settings)
    : standingTemplate(endpoint, service, live, present, there, names, settings);
  // the first Revision of all is named before it exists: there is nothing else to name
  const routed = there.length > 0 ? there : missing ? [missing] : [];
  return {
    service,
    foreign,
    wanted: {
      metadata: {
        name: service,
        labels: labelsOf(endpoint.project, { endpoint: endpoint.name, endpointId: endpoint.id }),
      },
      spec: { template, traffic: trafficOf(service, endpoint, routed) },
    },
    superfluous: missing ? [] : present.names.filter((name) => !names.has(name) && !isNamed(live, name)),
  };
}

/** A Service may have been made by somebody else under the name that we would give it. */
export function isOurs({ metadata }: KnativeService, endpointId: string): boolean {
  return metadata.labels?.[LABELS.managedBy] === MANAGER && metadata.labels?.[LABELS.endpointId] === endpointId;
}

/**
 * Where every revision exists, the template makes none: it stays as it is. One that was edited by hand is set back to a
 * Revision that exists, whose spec must be repeated to the letter.
 */
function standingTemplate(
  endpoint: EndpointRoute,
  service: string,
  live: KnativeService | undefined,
  present: Present,
  there: readonly RevisionRoute[],
  names: ReadonlySet<string>,
  settings: Settings,
): Template {
  const standing = live?.spec.template;
  if (standing?.metadata?.name !== undefined && names.has(standing.metadata.name)) return standing;
  const newest = there.at(-1) as RevisionRoute;
  const { metadata } = revisionTemplate(endpoint.project, service, newest, settings);
  const spec = present.revision(revisionName(service, newest.number))?.spec ?? {};
  return { ...(metadata ? { metadata } : {}), spec };
}

function isNamed(live: KnativeService | undefined, name: string): boolean {
  if (live?.spec.template.metadata?.name === name) return true;
  const entries = [...(live?.spec.traffic ?? []), ...(live?.status?.traffic ?? [])];
  return entries.some(({ revisionName: named }) => named === name);
}
