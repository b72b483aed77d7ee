/**
 * Whether what a candidate gives is distributed as what the stable gives, by counts of k kinds: tests of the total-variation
 * distance, which is the greatest P_candidate(A) - P_stable(A) over all sets A of kinds. Valid at any time, because each set
 * by itself is two streams of yes and no.
 *
 * "More than d apart" is one set whose difference is above d: the set is chosen by the data, so each of the possible sets
 * has its part of α beforehand, the simple ones the greater part. "At most d apart" says that no set's difference reaches
 * d: it is claimed when every set's own test rejects, which needs no part of α (an intersection of tests: Berger 1982), and
 * is bounded for all sets at once.
 */
import { ANY, evidenceAgainst, type Rate } from './rates.js';

/** Counts per kind. */
export type Counts = readonly number[];

export interface DriftEvidence {
  /** As observed; it is too large by chance while there are few requests. */
  readonly distance: number;
  /** ln of the evidence against "at most d apart". */
  readonly more: number;
  /** ln of the evidence against "at least d apart". */
  readonly less: number;
}

/** Compares the counts of both arms with a greatest distance d. */
export function driftEvidence(candidate: Counts, stable: Counts, d: number, kinds: number): DriftEvidence {
  const [nc, ns] = [sumOf(candidate), sumOf(stable)];
  if (nc === 0 || ns === 0) return { distance: 0, more: 0, less: 0 };
  const gap = (at: number) => (candidate[at] ?? 0) / nc - (stable[at] ?? 0) / ns;
  const all = Array.from({ length: kinds }, (_, at) => at);
  const above = all.filter((at) => gap(at) > 0);
  const distance = above.reduce((sum, at) => sum + gap(at), 0);
  return {
    distance,
    more: Math.max(...candidates(above, all, gap).map((set) => evidenceOf(set, candidate, stable, d, kinds))),
    less: lessEvidence(distance, d, nc, ns),
  };
}

/** Sets that may show a difference: the one that the observed distance is of, single kinds, and all up to or from some kind. */
function candidates(above: readonly number[], all: readonly number[], gap: (at: number) => number): number[][] {
  if (above.length === 0) return [[]];
  const most = above.reduce((best, at) => (gap(at) > gap(best) ? at : best));
  let sum = 0;
  let [high, low, upTo, from] = [0, 0, 0, 0];
  for (const at of all) {
    sum += gap(at);
    if (sum > high) [high, upTo] = [sum, at + 1];
    if (sum < low) [low, from] = [sum, at + 1];
  }
  return [[...above], [most], all.slice(0, upTo), all.slice(from)];
}

/** ln of the evidence that one set's difference is above d, less what the choice among the sets costs. */
function evidenceOf(set: readonly number[], candidate: Counts, stable: Counts, d: number, kinds: number): number {
  const within = (counts: Counts): Rate => ({
    hits: set.reduce((sum, at) => sum + (counts[at] ?? 0), 0),
    total: sumOf(counts),
  });
  const arms = { candidate: within(candidate), stable: within(stable), priors: { candidate: ANY, stable: ANY } };
  return evidenceAgainst('at_most', d, arms) - choiceCost(set, kinds);
}

/**
 * -ln of a set's part of α; the parts of all sets add up to 1 at most. Half goes to the 4k single kinds, their
 * complements, and the beginnings and ends of the row of kinds; half to sets (or their complements) of the first K kinds, an
 * equal part for each K, and in it to each of the 2^K sets.
 */
export function choiceCost(set: readonly number[], kinds: number): number {
  const runs = set.filter((at, i) => i === 0 || at !== (set[i - 1] as number) + 1).length;
  const ends = set[0] === 0 || set.at(-1) === kinds - 1;
  const simple = set.length <= 1 || set.length >= kinds - 1 || (runs === 1 && ends);
  if (simple) return Math.log(2) + Math.log(4 * kinds);
  const within = new Set(set);
  const lastOut = Array.from({ length: kinds }, (_, at) => kinds - 1 - at).find((at) => !within.has(at)) ?? 0;
  const reach = Math.min(set.at(-1) as number, lastOut) + 1;
  return Math.log(2) + Math.log(2 * kinds) + reach * Math.LN2;
}

/**
 * A lower bound, for every set, of ln of the evidence against "its difference is at least d": the mixture by Jeffreys'
 * prior stays within ½ ln n + ln 2 of the greatest likelihood (Krichevsky and Trofimov 1981), and where the shares are
 * g = d - distance short of the border, the likelihood there is less by at least 2 n g² for each arm's part of g (Pinsker's
 * inequality), which is least where the parts are as 1 / n.
 */
function lessEvidence(distance: number, d: number, nc: number, ns: number): number {
  const short = d - distance;
  if (short <= 0) return Number.NEGATIVE_INFINITY;
  return (2 * short ** 2 * nc * ns) / (nc + ns) - (Math.log(nc) + Math.log(ns)) / 2 - 2 * Math.LN2;
}

function sumOf(counts: Counts): number {
  return counts.reduce((sum, count) => sum + count, 0);
}
