/** What an analysis comes to, with the numbers that decided. */

import type { MetricKind } from './plan.js';
import type { Interval } from './rates.js';

export type VerdictKind = 'worse' | 'not_worse' | 'unclear';

export interface Verdict {
  readonly kind: VerdictKind;
  readonly reason: string;
}

/** One arm's numbers: `hits` of `total`, and the rates that they do not speak against, at all times at once. */
export interface ArmNumbers extends Interval {
  readonly hits: number;
  readonly total: number;
}

export interface MetricVerdict {
  /** Its name. */
  readonly metric: string;
  readonly measures: MetricKind;
  readonly kind: VerdictKind;
  /** The numbers in plain words. */
  readonly words: string;
  readonly candidate?: ArmNumbers;
  readonly stable?: ArmNumbers;
  /** How far the candidate's rate lies above the stable's: at least `low`, at most `high`. */
  readonly difference?: Interval;
  /** What is allowed. */
  readonly margin?: number;
  /** Its part of the plan's alpha. */
  readonly alpha?: number;
  /** As measured elsewhere. */
  readonly value?: number;
}

/** A verdict over all metrics of a plan. */
export interface Judgement extends Verdict {
  readonly metrics: readonly MetricVerdict[];
}

/** How a rollback begins to say why, of a metric that decided it. */
const HEADLINES: Readonly<Record<MetricKind, string>> = {
  errors: 'more errors',
  latency: 'more slow requests',
  drift: 'other answers',
  shadow: 'too many answers that disagree',
  reward: 'less reward',
  accuracy: 'fewer right answers',
  prometheus: 'a bad value',
  webhook: 'a bad word',
};

/** One is worse: worse. All are not worse: not worse. Else unclear, for the reasons of those that are. */
export function joinVerdicts(metrics: readonly MetricVerdict[]): Judgement {
  const of = (kind: VerdictKind) => metrics.filter((metric) => metric.kind === kind);
  const say = (some: readonly MetricVerdict[]) => some.map(({ metric, words }) => `${metric}, ${words}`).join('; ');
  const worse = of('worse');
  if (worse.length > 0) {
    const reason = worse.map((metric) => `${HEADLINES[metric.measures]}: ${say([metric])}`).join('; ');
    return { kind: 'worse', reason, metrics };
  }
  const unclear = of('unclear');
  if (unclear.length > 0) return { kind: 'unclear', reason: say(unclear), metrics };
  return { kind: 'not_worse', reason: say(metrics), metrics };
}
