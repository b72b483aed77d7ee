/** Which revisions answer, as KServe decides it. */
import type { TrafficTarget } from '../../api-types.js';

/** The last revision other than the newest that had all traffic, of settings with the newest first. */
export function lastRolledOut(
  newest: number,
  history: readonly { readonly targets: readonly TrafficTarget[] }[],
): number | undefined {
  for (const { targets } of history) {
    const whole = targets.find((target) => target.percent === 100 && target.revision !== newest);
    if (whole) return whole.revision;
  }
  return undefined;
}

/**
 * All to the newest revision; with a canary's percent that much, and the rest to the one that had all before. Where nothing
 * ever had all traffic there is nothing to hold back for.
 */
export function canaryTargets(
  newest: number,
  before: number | undefined,
  { canaryPercent, tagRouting }: { readonly canaryPercent: number | undefined; readonly tagRouting: boolean },
): TrafficTarget[] {
  const latest = tagRouting ? { tag: 'latest' } : {};
  if (canaryPercent === undefined || canaryPercent === 100 || before === undefined) {
    return [{ revision: newest, percent: 100, ...latest }];
  }
  return [
    { revision: newest, percent: canaryPercent, ...latest },
    { revision: before, percent: 100 - canaryPercent, tag: 'prev' },
  ];
}

/** Whether both send the same requests to the same revisions, in any order. */
export function sameTraffic(a: readonly TrafficTarget[], b: readonly TrafficTarget[]): boolean {
  const text = (targets: readonly TrafficTarget[]) =>
    JSON.stringify(targets.map(({ revision, percent, tag }) => [revision, percent, tag ?? '']).sort());
  return text(a) === text(b);
}
