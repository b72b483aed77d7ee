/** An endpoint's traffic in Knative's words. Pure. */
import { revisionName, revisionTag } from '../../core/cluster-names.js';
import type { EndpointRoute, RevisionRoute } from '../../core/inference/route.js';
import type { TrafficEntry } from './kinds.js';

/**
 * The traffic of a Service whose Revisions of these numbers exist: each is tagged, and the shares are whole percents, as
 * Knative wants them, by largest remainder. Targets that are not there leave their share to those that are; with none of
 * them there, the newest Revision takes all.
 */
export function trafficOf(service: string, endpoint: EndpointRoute, present: readonly RevisionRoute[]): TrafficEntry[] {
  const there = new Set(present.map(({ number }) => number));
  const targets = endpoint.targets.filter(({ revision }) => there.has(revision.number));
  const weighted = targets.some(({ percent }) => percent > 0)
    ? targets.map(({ revision, percent }) => ({ number: revision.number, percent }))
    : [{ number: Math.max(...there), percent: 100 }];
  const shares = wholePercents(weighted.map(({ percent }) => percent));
  const share = new Map(weighted.map(({ number }, at) => [number, shares[at] ?? 0]));
  const own = [...there]
    .sort((a, b) => a - b)
    .map((number) => ({
      revisionName: revisionName(service, number),
      percent: share.get(number) ?? 0,
      tag: revisionTag(number),
    }));
  const users = targets.flatMap(({ revision, tag }) =>
    tag === undefined || !isTag(service, tag)
      ? []
      : [{ revisionName: revisionName(service, revision.number), percent: 0, tag }],
  );
  return [...own, ...users];
}

/** Of a DNS label, which a tag and its Service's name make together. */
const LABEL_LENGTH = 63;

/** Whether Knative takes a tag of the user's. One that looks like ours would name two revisions. */
function isTag(service: string, tag: string): boolean {
  return /^[a-z]/.test(tag) && !/^r\d+$/.test(tag) && tag.length + 1 + service.length <= LABEL_LENGTH;
}

/** Whole numbers that add up to 100, each less than one away from its share. */
export function wholePercents(shares: readonly number[]): number[] {
  const sum = shares.reduce((total, share) => total + share, 0);
  const exact = shares.map((share) => (share * 100) / sum);
  const whole = exact.map(Math.floor);
  const order = exact.map((share, at) => ({ at, rest: share - Math.floor(share) })).sort((a, b) => b.rest - a.rest);
  const missing = 100 - whole.reduce((total, share) => total + share, 0);
  for (const { at } of order.slice(0, missing)) whole[at] = (whole[at] ?? 0) + 1;
  return whole;
}
