/** Which revisions a request is copied to. Pure: chance is given. */
import type { RevisionRoute, ShadowRoute } from '../route.js';

const NOBODY: readonly RevisionRoute[] = [];

/**
 * The revisions that get a copy of a request that `answering` answers: each of the shadows by its own throw, because their
 * percents are shares of all requests and need not add up to anything. Nobody shadows itself.
 */
export function shadowsFor(
  { targets }: ShadowRoute,
  answering: RevisionRoute,
  random: () => number,
): readonly RevisionRoute[] {
  let chosen: RevisionRoute[] | undefined;
  for (const { revision, shadowPercent } of targets) {
    if (revision.number === answering.number || random() * 100 >= shadowPercent) continue;
    chosen ??= [];
    chosen.push(revision);
  }
  return chosen ?? NOBODY;
}
