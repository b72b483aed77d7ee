/** An endpoint's traffic as Knative takes it: whole percents, a tag for every revision, and the user's own tags. Pure. */

import { revisionTag } from '../../core/cluster-names.js';
import type { EndpointRoute } from '../../core/inference/route.js';
import { revisionOf, serviceOf, userTag } from './names.js';
import type { KnativeTarget } from './objects.js';
import { onKnative } from './template.js';

/**
 * Whole numbers that add up to 100 and are each less than one away from its share, by the largest remainder; of equal
 * remainders the earlier one.
 */
export function wholePercents(shares: readonly number[]): number[] {
  const sum = shares.reduce((total, share) => total + share, 0);
  if (sum <= 0) return shares.map(() => 0);
  const exact = shares.map((share) => (share * 100) / sum);
  // sums of thirds and tenths are not quite whole: 29.999999999999996 is thirty
  const whole = exact.map((share) => Math.floor(share + 1e-9));
  const left = 100 - whole.reduce((total, share) => total + share, 0);
  const order = exact.map((share, at) => ({ at, rest: share - (whole[at] ?? 0) }));
  order.sort((a, b) => b.rest - a.rest || a.at - b.at);
  for (const { at } of order.slice(0, left)) whole[at] = (whole[at] ?? 0) + 1;
  return whole;
}

/**
 * The traffic of the endpoint's Service. `present`: revisions that are there; `served`: of these, those that may have
 * their share, all where none of the shares may; `tagged`: those that may have a tag.
 */
export function trafficOf(
  endpoint: EndpointRoute,
  {
    present,
    served: may,
    tagged,
  }: {
    readonly present: readonly number[];
    readonly served: ReadonlySet<number>;
    readonly tagged: ReadonlySet<number>;
  },
): KnativeTarget[] {
  const service = serviceOf(endpoint);
  const there = new Set(present);
  const shares = endpoint.targets.filter(
    ({ revision, percent }) => percent > 0 && onKnative(revision) && there.has(revision.number),
  );
  const begun = shares.filter(({ revision }) => may.has(revision.number));
  const served = begun.length > 0 ? begun : shares;
  const percents = wholePercents(served.map(({ percent }) => percent));
  const targets: KnativeTarget[] = served.map(({ revision }, at) => ({
    revisionName: revisionOf(endpoint, revision.number),
    percent: percents[at] ?? 0,
  }));
  // Knative has no Service without traffic: until there is some, the newest that is there has it
  const newest = [...present].sort((a, b) => b - a).find((number) => tagged.has(number)) ?? Math.max(...present);
  if (targets.length === 0 && present.length > 0)
    targets.push({ revisionName: revisionOf(endpoint, newest), percent: 100 });
  for (const number of [...present].sort((a, b) => a - b)) {
    if (!tagged.has(number)) continue;
    const named = { revisionName: revisionOf(endpoint, number), percent: 0 };
    targets.push({ ...named, tag: revisionTag(number) });
    const own = endpoint.targets.find(({ revision }) => revision.number === number)?.tag;
    const tag = own === undefined ? undefined : userTag(service, own);
    if (tag !== undefined) targets.push({ ...named, tag });
  }
  return targets;
}

/** Whether two settings of traffic mean the same; the order and what is left out by default do not matter. */
export function sameTraffic(a: readonly KnativeTarget[], b: readonly KnativeTarget[]): boolean {
  const text = (targets: readonly KnativeTarget[]) =>
    targets
      .map(({ revisionName: name, latestRevision, percent, tag }) =>
        [latestRevision ? '(latest)' : name, percent ?? 0, tag ?? ''].join(' '),
      )
      .sort()
      .join('\n');
  return text(a) === text(b);
}
