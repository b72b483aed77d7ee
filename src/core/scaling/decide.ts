import { resolveTarget, type ScalingSettings, type ScalingTarget } from './settings.js';
import { type MaxEntry, recordMax } from './window.js';

/** Seconds between two decisions (`tickInterval`); also the step of the scale-down delay. */
export const DECISION_INTERVAL_SEC = 2;

/** What the autoscaler remembers from one decision to the next. */
export interface ScalingState {
  /** When the load was last over the panic threshold, ms since the epoch; undefined: not panicking. */
  readonly panicSinceMs: number | undefined;
  /** The most replicas wanted during this panic. */
  readonly maxPanicReplicas: number;
  /** Recent wishes that the scale-down delay may hold on to. */
  readonly recentMax: readonly MaxEntry[];
}

/** What is known at the moment of a decision. */
export interface ScalingInput {
  /** Milliseconds since the epoch. */
  readonly nowMs: number;
  /** Replicas that take requests now. */
  readonly readyReplicas: number;
  /** Whether any route leads to the revision. */
  readonly reachable: boolean;
  /** Average requests in flight and waiting over the two windows; undefined: no data, and so no decision. */
  readonly load: { readonly stable: number; readonly panic: number } | undefined;
}

/** A wish for replicas, before the bounds and the way to zero. Not valid means: no data, change nothing. */
export interface ScalingDecision {
  readonly valid: boolean;
  /** Replicas wanted; 0 when not valid. */
  readonly desired: number;
  /**
   * Free capacity left after a burst of `targetBurstCapacity`, in requests in flight, rounded down. Below 0 the gateway
   * must stay in the path and hold requests; 0 where no burst is planned for, -1 where it is unlimited.
   */
  readonly excessBurstCapacity: number;
  readonly panicking: boolean;
  /** What the stable and the panic window alone would want, before the rates. */
  readonly wantedByStable: number;
  readonly wantedByPanic: number;
}

/**
 * The state of a new or restarted autoscaler. With more than one ready replica it begins in panic with that many, so
 * that a restart, which has lost its samples, never scales down before a stable window has passed.
 */
export function initialScalingState(nowMs: number, readyReplicas: number): ScalingState {
  return {
    panicSinceMs: readyReplicas > 1 ? nowMs : undefined,
    maxPanicReplicas: readyReplicas,
    recentMax: [],
  };
}

const NO_DECISION: ScalingDecision = {
  valid: false,
  desired: 0,
  excessBurstCapacity: 0,
  panicking: false,
  wantedByStable: 0,
  wantedByPanic: 0,
};

/**
 * One decision of Knative's pod autoscaler (pkg/autoscaler/scaling/autoscaler.go, `Scale`), as a pure function. Follows
 * the newest Knative where versions differ: an unreachable revision is not held by the scale-down delay.
 */
export function decide(
  state: ScalingState,
  input: ScalingInput,
  settings: ScalingSettings,
  { target, total }: ScalingTarget = resolveTarget(settings),
): { readonly state: ScalingState; readonly decision: ScalingDecision } {
  const { nowMs, load } = input;
  if (load === undefined) {
    return { state, decision: { ...NO_DECISION, panicking: state.panicSinceMs !== undefined } };
  }
  const ready = Math.max(1, input.readyReplicas);
  const most = Math.ceil(settings.maxScaleUpRate * ready);
  const least = input.reachable ? Math.floor(ready / settings.maxScaleDownRate) : 0;
  const wanted = (raw: number) => {
    const inRates = Math.min(Math.max(raw, least), most);
    return raw > 0 && settings.activationScale > 1 ? Math.max(inRates, settings.activationScale) : inRates;
  };
  const wantedByStable = Math.ceil(load.stable / target);
  const wantedByPanic = Math.ceil(load.panic / target);
  const byStable = wanted(wantedByStable);
  const byPanic = wanted(wantedByPanic);

  let { panicSinceMs, maxPanicReplicas, recentMax } = state;
  if (wantedByPanic / ready >= settings.panicThresholdPercent / 100) {
    panicSinceMs = nowMs;
  } else if (panicSinceMs !== undefined && panicSinceMs + settings.stableWindowSec * 1000 < nowMs) {
    panicSinceMs = undefined;
    maxPanicReplicas = 0;
  }

  let desired = byStable;
  if (panicSinceMs !== undefined) {
    // in panic there is no way down
    maxPanicReplicas = Math.max(maxPanicReplicas, byStable, byPanic);
    desired = maxPanicReplicas;
  }
  if (input.reachable && settings.scaleDownDelaySec > 0) {
    recentMax = recordMax(recentMax, nowMs, desired, settings.scaleDownDelaySec, DECISION_INTERVAL_SEC);
    desired = recentMax[0]?.value ?? desired;
  }
  return {
    state: { panicSinceMs, maxPanicReplicas, recentMax },
    decision: {
      valid: true,
      desired,
      excessBurstCapacity: excessBurstCapacity(input.readyReplicas * total, load.panic, settings.targetBurstCapacity),
      panicking: panicSinceMs !== undefined,
      wantedByStable,
      wantedByPanic,
    },
  };
}

function excessBurstCapacity(capacity: number, panicLoad: number, targetBurstCapacity: number): number {
  if (targetBurstCapacity === 0) return 0;
  return targetBurstCapacity > 0 ? Math.floor(capacity - targetBurstCapacity - panicLoad) : -1;
}
