/** How many replicas, and how much each takes: KServe's fields and Knative's annotations as scaling settings. */
import { defined } from '../../values.js';
import type { Annotations, Given } from './annotations.js';
import type { Fields } from './fields.js';
import { goSeconds } from './quantities.js';

/** Requests that a replica handles at once where the document names no bound. */
const OPEN_CONCURRENCY = 64;
/** The share of its target that Knative aims at. */
const KNATIVE_UTILIZATION = 0.7;
const LEAST_UTILIZATION = 0.05;
const MAX_REPLICAS = 1000;
/** Replicas of a revision where no most is named, as for any endpoint. */
const USUAL_MAX_REPLICAS = 2;

export type Settings = Readonly<Record<string, unknown>>;

export function readScaling(predictor: Fields, { autoscaling }: Annotations): Settings {
  const whole = (name: string, max: number) => annotated(autoscaling.get(name), (text) => wholeOf(text, 0, max));
  const minReplicas = predictor.whole('minReplicas', 0, MAX_REPLICAS) ?? whole('min-scale', MAX_REPLICAS) ?? 1;
  const given = predictor.whole('maxReplicas', 0, MAX_REPLICAS) ?? whole('max-scale', MAX_REPLICAS);
  const maxReplicas = given || Math.max(minReplicas, USUAL_MAX_REPLICAS);
  if (given === 0) {
    const what = `there is no "without end" here: at most ${maxReplicas} replicas`;
    if (predictor.has('maxReplicas')) predictor.warn('maxReplicas', what);
    else autoscaling.get('max-scale')?.warn(what);
  }
  if (minReplicas > maxReplicas) predictor.refuse('minReplicas', `is more than maxReplicas, ${maxReplicas}`);
  warnOfTheRest(autoscaling);
  const timeout = predictor.whole('timeout', 1, 86_400);
  return defined({
    minReplicas,
    maxReplicas,
    ...concurrency(predictor, autoscaling),
    stableWindowSec: annotated(autoscaling.get('window'), (text) => secondsOf(text, 6, 3600)),
    scaleDownDelaySec: annotated(autoscaling.get('scale-down-delay'), (text) => secondsOf(text, 0, 3600)),
    // Knative keeps the last pod for the longer of the two
    scaleToZeroGraceSec: annotated(autoscaling.get('scale-to-zero-pod-retention-period'), (text) => {
      const seconds = secondsOf(text, 0, 3600);
      return seconds === undefined ? undefined : Math.max(seconds, 30);
    }),
    queueTimeoutSec: timeout === undefined ? undefined : Math.min(timeout, 600),
  });
}

/**
 * A hard bound and a target that the autoscaler aims at. Knative aims at a share of the target; here the aim is a share of
 * the bound, which is the same number of requests for each replica.
 */
function concurrency(predictor: Fields, autoscaling: Annotations['autoscaling']): Settings {
  const hard = predictor.whole('containerConcurrency', 0, 1000);
  if (hard === 0)
    predictor.warn('containerConcurrency', `a replica handles at most ${OPEN_CONCURRENCY} requests at once`);
  const share = annotated(autoscaling.get('target-utilization-percentage'), (text) => wholeOf(text, 1, 100));
  const aim = (share ?? KNATIVE_UTILIZATION * 100) / 100;
  const target = readTarget(predictor, autoscaling);
  if (target === undefined) return defined({ concurrency: hard || undefined, targetUtilization: aimOrNothing(share) });
  if (hard) return { concurrency: hard, targetUtilization: rounded((Math.min(target, hard) * aim) / hard) };
  // with no bound named: one within which the target can be said
  const bound = Math.max(
    Math.ceil(target),
    Math.min(OPEN_CONCURRENCY, Math.floor((target * aim) / LEAST_UTILIZATION + 1e-9)),
    1,
  );
  return { concurrency: bound, targetUtilization: rounded((target * aim) / bound) };
}

function readTarget(predictor: Fields, autoscaling: Annotations['autoscaling']): number | undefined {
  const metric = predictor.oneOf('scaleMetric', ['concurrency', 'rps', 'cpu', 'memory']);
  const annotatedMetric = autoscaling.get('metric');
  const isOther = (metric ?? annotatedMetric?.value ?? 'concurrency') !== 'concurrency';
  const target = predictor.whole('scaleTarget', 1, 100_000);
  const annotatedTarget = autoscaling.get('target');
  if (isOther) {
    const what = 'replicas follow the requests in hand, not this metric';
    if (metric !== undefined) predictor.warn('scaleMetric', what);
    else annotatedMetric?.warn(what);
    const unused = 'is a target of another metric than requests in hand, and is not used';
    if (target !== undefined) predictor.warn('scaleTarget', unused);
    annotatedTarget?.warn(unused);
    return undefined;
  }
  const found = target ?? annotated(annotatedTarget, (text) => (Number(text) > 0 ? Number(text) : undefined));
  if (found !== undefined && found > 1000) {
    const what = 'a replica handles at most 1000 requests at once, which is the target too';
    if (target !== undefined) predictor.warn('scaleTarget', what);
    else annotatedTarget?.warn(what);
    return 1000;
  }
  return found;
}

/** Autoscaling annotations that something else is done for, unless they say what is done anyway. */
const OTHER_ANNOTATIONS: Readonly<Record<string, readonly [usual: string, what: string]>> = {
  class: ['kpa.autoscaling.knative.dev', "replicas follow the requests in hand, as with Knative's kpa"],
  'panic-window-percentage': ['10', 'the panic window is 10 % of the window'],
  'panic-threshold-percentage': ['200', 'panic begins at 200 %'],
  'metric-aggregation-algorithm': ['linear', 'the average over the window is linear'],
  'initial-scale': ['1', 'a revision begins with minReplicas, or with the first request'],
  'activation-scale': ['1', 'it wakes with as many replicas as its load needs'],
  'target-burst-capacity': ['', 'the gateway is always on the way, and holds what comes in bursts'],
};

const READ = new Set([
  'min-scale',
  'max-scale',
  'metric',
  'target',
  'target-utilization-percentage',
  'window',
  'scale-down-delay',
  'scale-to-zero-pod-retention-period',
]);

function warnOfTheRest(autoscaling: Annotations['autoscaling']): void {
  for (const [name, given] of autoscaling) {
    if (READ.has(name)) continue;
    const other = OTHER_ANNOTATIONS[name];
    if (!other) given.refuse('is no annotation of the autoscaler that is known');
    else if (given.value !== other[0]) given.warn(other[1]);
  }
}

/** An annotation's value, read; one that cannot be read is refused. */
function annotated<T>(given: Given | undefined, read: (text: string) => T | undefined): T | undefined {
  if (given === undefined) return undefined;
  const value = read(given.value);
  if (value === undefined) given.refuse('cannot be read, or is out of bounds');
  return value;
}

function wholeOf(text: string, min: number, max: number): number | undefined {
  const value = Number(text);
  return /^\d+$/.test(text) && value >= min && value <= max ? value : undefined;
}

function secondsOf(text: string, min: number, max: number): number | undefined {
  const value = goSeconds(text);
  return value !== undefined && value >= min && value <= max ? Math.ceil(value) : undefined;
}

function aimOrNothing(percent: number | undefined): number | undefined {
  return percent === undefined ? undefined : rounded(percent / 100);
}

function rounded(share: number): number {
  return Number(Math.min(1, Math.max(LEAST_UTILIZATION, share)).toFixed(4));
}
