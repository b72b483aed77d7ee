import { AppError } from '../../errors.js';

/**
 * How one revision scales. Names and defaults are those of Knative's `config-autoscaler` and its revision annotations;
 * immutable, like the revision that it belongs to.
 */
export interface ScalingSettings {
  /** Requests in flight that one replica is meant for; undefined: `containerConcurrency`, or 100 where that is 0. */
  readonly targetConcurrency: number | undefined;
  /** The most requests that one replica takes at a time; 0: no limit. */
  readonly containerConcurrency: number;
  /** Share of the target to aim at, over 0 to 1, so that there is room while a new replica starts. */
  readonly targetUtilization: number;
  /** Seconds that the stable average looks back, 6 to 3600, whole. */
  readonly stableWindowSec: number;
  /** The panic window as percent of the stable one, 1 to 100; rounded to whole seconds, at least 1 s. */
  readonly panicWindowPercent: number;
  /** Panic starts when the replicas wanted by the panic window reach this percent of the ready ones, 110 to 1000. */
  readonly panicThresholdPercent: number;
  /** One decision wants at most this many times the ready replicas (rounded up); over 1. */
  readonly maxScaleUpRate: number;
  /** One decision wants at least the ready replicas divided by this (rounded down); over 1. */
  readonly maxScaleDownRate: number;
  /** Seconds for which the highest wish is kept before scaling down, 0 to 3600, whole. */
  readonly scaleDownDelaySec: number;
  /** Replicas wanted at least whenever there is any load; 1: no effect. */
  readonly activationScale: number;
  /** Replicas always kept while reachable. */
  readonly minReplicas: number;
  /** Replicas at most; 0: no bound. */
  readonly maxReplicas: number;
  /** Replicas that a new revision starts with, and a floor until they have been ready once; 0 starts with none. */
  readonly initialReplicas: number;
  /** False keeps one replica for ever. */
  readonly scaleToZero: boolean;
  /** Upper bound in seconds of the wait between idle and zero while requests may still pass the gateway by. */
  readonly scaleToZeroGraceSec: number;
  /** Seconds that the last replica stays after the revision became inactive, 0 to 3600. */
  readonly lastReplicaRetentionSec: number;
  /** Requests that a burst may bring at once and that must not queue in a replica; 0: none, -1: unlimited. */
  readonly targetBurstCapacity: number;
  /** Seconds after which a revision that does not become ready may go to zero (progress deadline + 30 s). */
  readonly activationTimeoutSec: number;
}

/** Knative's defaults (`pkg/autoscaler/config`, `defaultConfig`; the activation timeout from `config-deployment`). */
export const DEFAULT_SCALING: ScalingSettings = {
  targetConcurrency: undefined,
  containerConcurrency: 0,
  targetUtilization: 0.7,
  stableWindowSec: 60,
  panicWindowPercent: 10,
  panicThresholdPercent: 200,
  maxScaleUpRate: 1000,
  maxScaleDownRate: 2,
  scaleDownDelaySec: 0,
  activationScale: 1,
  minReplicas: 0,
  maxReplicas: 0,
  initialReplicas: 1,
  scaleToZero: true,
  scaleToZeroGraceSec: 30,
  lastReplicaRetentionSec: 0,
  targetBurstCapacity: 211,
  activationTimeoutSec: 630,
};

/** What one replica is aimed at (`target`) and what it can take (`total`), in requests in flight. */
export interface ScalingTarget {
  readonly target: number;
  readonly total: number;
}

/** Target of a replica where nothing says one, in requests in flight (`container-concurrency-target-default`). */
export const DEFAULT_TARGET_CONCURRENCY = 100;

/** Knative's `ResolveMetricTarget` for the concurrency metric; the target is never below 0.01. */
export function resolveTarget(
  settings: Pick<ScalingSettings, 'targetConcurrency' | 'containerConcurrency' | 'targetUtilization'>,
): ScalingTarget {
  const { targetConcurrency, containerConcurrency } = settings;
  let total = containerConcurrency === 0 ? DEFAULT_TARGET_CONCURRENCY : containerConcurrency;
  if (targetConcurrency !== undefined) {
    total = containerConcurrency === 0 ? targetConcurrency : Math.min(targetConcurrency, containerConcurrency);
  }
  return { target: Math.max(0.01, total * settings.targetUtilization), total };
}

/** Knative's `MakeMetric`: the panic window in whole seconds, half up, at least 1. */
export function panicWindowSec(settings: Pick<ScalingSettings, 'stableWindowSec' | 'panicWindowPercent'>): number {
  const nanoseconds = Math.trunc((settings.stableWindowSec * 1e9 * settings.panicWindowPercent) / 100);
  return Math.max(1, Math.round(nanoseconds / 1e9));
}

interface Bound {
  readonly min: number;
  readonly max: number;
  readonly whole?: boolean;
  /** The lower bound itself is not allowed. */
  readonly above?: boolean;
}

const COUNT: Bound = { min: 0, max: 2 ** 31 - 1, whole: true };

// Knative's webhook (pkg/apis/autoscaling/annotation_validation.go) and its config map's checks
const BOUNDS = {
  containerConcurrency: COUNT,
  targetUtilization: { min: 0, max: 1, above: true },
  stableWindowSec: { min: 6, max: 3600, whole: true },
  panicWindowPercent: { min: 1, max: 100 },
  panicThresholdPercent: { min: 110, max: 1000 },
  maxScaleUpRate: { min: 1, max: Number.MAX_VALUE, above: true },
  maxScaleDownRate: { min: 1, max: Number.MAX_VALUE, above: true },
  scaleDownDelaySec: { min: 0, max: 3600, whole: true },
  activationScale: { ...COUNT, min: 1 },
  minReplicas: COUNT,
  maxReplicas: COUNT,
  initialReplicas: COUNT,
  scaleToZeroGraceSec: { min: 0, max: 3600 },
  lastReplicaRetentionSec: { min: 0, max: 3600 },
  activationTimeoutSec: { min: 0, max: Number.MAX_VALUE },
} as const satisfies Partial<Record<keyof ScalingSettings, Bound>>;

/** The settings with Knative's defaults filled in; throws `invalid` naming the field, its value and its bound. */
export function scalingSettings(
  given: { readonly [K in keyof ScalingSettings]?: ScalingSettings[K] | undefined } = {},
): ScalingSettings {
  const set = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  const settings: ScalingSettings = { ...DEFAULT_SCALING, ...set };
  for (const [field, bound] of Object.entries(BOUNDS) as [keyof typeof BOUNDS, Bound][]) {
    const value = settings[field];
    const low = bound.above ? value > bound.min : value >= bound.min;
    if (!low || !(value <= bound.max) || (bound.whole && !Number.isInteger(value))) {
      const kind = bound.whole ? 'a whole number' : 'a number';
      const top = bound.max >= COUNT.max ? '' : ` and at most ${bound.max}`;
      refuse(field, value, `${kind} ${bound.above ? 'above' : 'of at least'} ${bound.min}${top}`);
    }
  }
  const { targetConcurrency: target, targetBurstCapacity: burst, minReplicas, maxReplicas } = settings;
  if (target !== undefined && !(target >= 0.01 && target < Infinity)) {
    refuse('targetConcurrency', target, 'a number of at least 0.01');
  }
  if (!(burst === -1 || (burst >= 0 && burst < Infinity))) {
    refuse('targetBurstCapacity', burst, '-1 or a number of at least 0');
  }
  if (maxReplicas !== 0 && maxReplicas < minReplicas) {
    refuse('maxReplicas', maxReplicas, `0 or at least minReplicas (${minReplicas})`);
  }
  for (const field of ['activationScale', 'initialReplicas'] as const) {
    if (maxReplicas !== 0 && settings[field] > maxReplicas) {
      refuse(field, settings[field], `at most maxReplicas (${maxReplicas})`);
    }
  }
  return settings;
}

function refuse(field: keyof ScalingSettings, value: number, bound: string): never {
  throw new AppError('invalid', `scaling.${field} is ${value}; it must be ${bound}`, { details: { field, value } });
}
