/** A Knative Service's traffic, for the endpoint that it is of. A pure translation. */
import type { TrafficTarget } from '../../api-types.js';
import { Fields, type Finding } from './fields.js';
import { readName, type Translation } from './inference-service.js';

/** One entry of the traffic; revision undefined: the newest. */
export interface KnativeTarget {
  readonly revision: number | undefined;
  readonly percent: number;
  readonly tag?: string;
}

export interface TrafficPlan {
  readonly targets: readonly KnativeTarget[];
}

/** Reads a document of serving.knative.dev/v1. */
export function translateKnativeService(document: Readonly<Record<string, unknown>>): Translation<TrafficPlan> {
  const findings: Finding[] = [];
  const root = new Fields(document, [], findings);
  root.skip('apiVersion', 'kind', 'status');
  const metadata = root.child('metadata');
  const name = readName(root, metadata);
  metadata?.warnOf({ annotations: 'are not kept; only spec.traffic counts' });
  metadata?.end();
  const spec = root.child('spec');
  if (!spec) root.refuse('spec', 'is missing');
  spec?.warnOf({
    template: "is ignored: revisions are versions of the endpoint's model, and only spec.traffic counts",
  });
  const targets = spec ? readTargets(spec, name) : [];
  spec?.end();
  root.end();
  const isBroken = findings.some((finding) => finding.level === 'error');
  return { name, plan: isBroken ? undefined : { targets }, findings };
}

function readTargets(spec: Fields, service: string): KnativeTarget[] {
  if (!spec.has('traffic')) spec.refuse('traffic', 'is missing, and nothing else of a Service counts');
  const targets = spec.children('traffic').map((one): KnativeTarget => {
    const percent = one.whole('percent', 0, 100) ?? 0;
    const tag = one.text('tag');
    const revisionName = one.text('revisionName');
    const isLatest = one.take('latestRevision') === true;
    one.skip('url');
    one.refuseOf({ configurationName: 'name a revision with revisionName, or latestRevision: true' });
    if (isLatest === (revisionName !== undefined))
      one.refuse('revisionName', 'an entry needs either revisionName or latestRevision: true');
    one.end();
    const number = revisionName === undefined ? undefined : revisionNumber(service, revisionName);
    if (revisionName !== undefined && number === undefined)
      one.refuse('revisionName', `expected ${service}-r and the number of a revision`);
    return { revision: number, percent, ...(tag === undefined ? {} : { tag }) };
  });
  const sum = targets.reduce((total, target) => total + target.percent, 0);
  if (targets.length > 0 && sum !== 100) spec.refuse('traffic', `percents must add up to 100, not ${sum}`);
  return targets;
}

function revisionNumber(service: string, name: string): number | undefined {
  const rest = name.startsWith(`${service}-r`) ? name.slice(service.length + 2) : '';
  return /^[1-9]\d*$/.test(rest) ? Number(rest) : undefined;
}

/** Targets with a number each; entries of the same revision become one. A string says what cannot be. */
export function numberedTargets(targets: readonly KnativeTarget[], newest: number): TrafficTarget[] | string {
  const out = new Map<number, TrafficTarget>();
  for (const { revision = newest, percent, tag } of targets) {
    const before = out.get(revision);
    if (before?.tag !== undefined && tag !== undefined && before.tag !== tag) {
      return `revision ${revision} has two tags, ${before.tag} and ${tag}; a revision has one here`;
    }
    const name = tag ?? before?.tag;
    out.set(revision, {
      revision,
      percent: percent + (before?.percent ?? 0),
      ...(name === undefined ? {} : { tag: name }),
    });
  }
  return [...out.values()];
}

/** The name of the Knative Service that stands for an endpoint on a cluster, as the operator gives it (a test compares). */
export function knativeServiceName(endpoint: string, id: string): string {
  const name = /^[a-z]/.test(endpoint) ? endpoint : `e-${endpoint}`;
  return `${name.slice(0, 30).replace(/-+$/, '')}-${id.slice(-8)}`;
}
