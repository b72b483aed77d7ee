import type { ScalingSettings } from './settings.js';

/** Whether a revision takes requests: starting up, up, or told that it may go. */
export interface Activity {
  readonly status: 'activating' | 'active' | 'inactive';
  /** When it became so, ms since the epoch. */
  readonly sinceMs: number;
}

/** `wanted` within the bounds; `max` 0 means none. Knative's `applyBounds` (pkg/reconciler/autoscaling/kpa/scaler.go). */
export function applyBounds(wanted: number, min: number, max: number): number {
  if (wanted < min) return min;
  return max !== 0 && wanted > max ? max : wanted;
}

/**
 * The bounds that hold now. While the revision has never been ready, its initial replicas are a floor; an unreachable
 * revision has no floor at all.
 */
export function boundsOf(
  settings: ScalingSettings,
  { reachable, initialised }: { readonly reachable: boolean; readonly initialised: boolean },
): { readonly min: number; readonly max: number } {
  const min = reachable ? settings.minReplicas : 0;
  const floor = reachable && !initialised && settings.initialReplicas > 1 ? settings.initialReplicas : 0;
  return { min: Math.max(min, floor), max: settings.maxReplicas };
}

/** What is known when the wish, within its bounds, is looked at for zero. */
export interface ZeroInput {
  readonly nowMs: number;
  readonly wanted: number;
  readonly activity: Activity;
  readonly reachable: boolean;
  /** Since when every request of the revision passes through the gateway, ms; undefined: not now. */
  readonly heldSinceMs: number | undefined;
}

/** `wanted` undefined: unknown for now. Without `apply` the replicas stay as they are. */
export interface ZeroStep {
  readonly wanted: number | undefined;
  readonly apply: boolean;
  /** In words, with the numbers; empty where the wish is not zero. */
  readonly reason: string;
}

/**
 * The way to zero, Knative's `handleScaleToZero` (pkg/reconciler/autoscaling/kpa/scaler.go): active for a stable window,
 * then inactive, then gone once requests have been held by the gateway for the grace period and the retention is over,
 * or after the longer of the two in any case.
 *
 * Simpler than Knative in one thing: there an HTTP probe first proves that the activator answers for the revision.
 * Here the gateway is the activator and the only way in, so that there is no network to wait for.
 */
export function stepToZero(input: ZeroInput, settings: ScalingSettings): ZeroStep {
  const { nowMs, wanted, activity } = input;
  if (wanted !== 0) return { wanted, apply: true, reason: '' };
  if (!settings.scaleToZero) return { wanted: 1, apply: true, reason: 'scale to zero is off: 1' };
  const forSec = (nowMs - activity.sinceMs) / 1000;
  if (activity.status === 'activating') {
    if (forSec > settings.activationTimeoutSec) {
      return { wanted: 0, apply: true, reason: `not ready within ${settings.activationTimeoutSec} s: giving up` };
    }
    return { wanted: undefined, apply: false, reason: `starting for ${seconds(forSec)}: nothing changes` };
  }
  if (activity.status === 'active') {
    const window = settings.stableWindowSec;
    if (forSec >= window) return { wanted: 0, apply: false, reason: `idle after ${seconds(forSec)}: may go to zero` };
    return { wanted: 1, apply: true, reason: `active for ${seconds(forSec)} of ${window} s: keeping 1` };
  }
  const grace = settings.scaleToZeroGraceSec;
  const retention = input.reachable ? settings.lastReplicaRetentionSec : 0;
  const heldSec = input.heldSinceMs === undefined ? 0 : (nowMs - input.heldSinceMs) / 1000;
  const idle = `idle for ${seconds(forSec)}`;
  if (forSec >= Math.max(grace, retention)) return { wanted: 0, apply: true, reason: `${idle}: zero` };
  if (forSec < retention) return { wanted: 0, apply: false, reason: `${idle} of ${retention} s retention` };
  if (heldSec >= grace) {
    return { wanted: 0, apply: true, reason: `${idle}, requests held by the gateway for ${seconds(heldSec)}: zero` };
  }
  return { wanted: 0, apply: false, reason: `${idle}, in the gateway's hands ${seconds(heldSec)} of ${grace} s grace` };
}

/** What decides on the next activity; `wanted` undefined: unknown. */
export interface ActivityInput {
  readonly nowMs: number;
  readonly wanted: number | undefined;
  readonly readyReplicas: number;
  /** Ready replicas from which on the revision counts as active. */
  readonly minReady: number;
}

/** The table of Knative's `computeActiveCondition` (kpa.go); `sinceMs` moves only when the status changes. */
export function nextActivity(activity: Activity, input: ActivityInput): Activity {
  const status = nextStatus(activity.status, input);
  return status === activity.status ? activity : { status, sinceMs: input.nowMs };
}

function nextStatus(status: Activity['status'], { wanted, readyReplicas, minReady }: ActivityInput) {
  if (wanted === 0 || minReady === 0) return 'inactive';
  if (wanted === undefined && status === 'inactive') return 'inactive';
  return readyReplicas < minReady ? 'activating' : 'active';
}

function seconds(value: number): string {
  return `${Math.round(value * 10) / 10} s`;
}
