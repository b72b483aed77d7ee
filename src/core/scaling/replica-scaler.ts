import { type Activity, applyBounds, boundsOf, nextActivity, stepToZero, type ZeroStep } from './bounds.js';
import { decide, initialScalingState, type ScalingDecision, type ScalingState } from './decide.js';
import { panicWindowSec, resolveTarget, type ScalingSettings, type ScalingTarget } from './settings.js';
import { BucketWindow } from './window.js';

/** What the fleet is to do about a revision. */
export interface ReplicaDecision {
  /** Replicas to have. */
  readonly desired: number;
  /** Why, in words, with the numbers. */
  readonly reason: string;
  readonly panic: boolean;
  /** Whether requests must pass through a holder: no replica wanted, or no room for the burst that is planned for. */
  readonly hold: boolean;
  /** As `ScalingDecision.excessBurstCapacity`; the last known one while there is no data. */
  readonly excessBurstCapacity: number;
  readonly activity: Activity['status'];
}

/** How a scaler begins. */
export interface ReplicaScalerOptions {
  readonly settings: ScalingSettings;
  readonly nowMs: number;
  /** Replicas that were found ready; with `resumed` they are kept until there is enough data. */
  readonly readyReplicas?: number;
  /** True when the revision is not new but the program was restarted. */
  readonly resumed?: boolean;
}

/**
 * Scales one revision: windows, decision, bounds and the way to zero, in the order of Knative's autoscaler and its
 * reconciler. Reads no clock. `record` each second, `decide` every `DECISION_INTERVAL_SEC`, and `wake` with a `decide` at
 * once when a request meets no replica.
 */
export class ReplicaScaler {
  private readonly settings: ScalingSettings;
  private readonly target: ScalingTarget;
  private readonly stable: BucketWindow;
  private readonly panic: BucketWindow;
  private state: ScalingState;
  private activity: Activity;
  private initialised: boolean;
  private heldSinceMs: number | undefined;
  private replicas: number;
  /** The last valid wish; undefined before the first one. */
  private wish: ScalingDecision | undefined;
  /** What `wake` has counted before the meter could. */
  private counted = 0;

  constructor({ settings, nowMs, readyReplicas = 0, resumed = false }: ReplicaScalerOptions) {
    this.settings = settings;
    this.target = resolveTarget(settings);
    this.stable = new BucketWindow(settings.stableWindowSec);
    this.panic = new BucketWindow(panicWindowSec(settings));
    this.state = initialScalingState(nowMs, readyReplicas);
    this.initialised = resumed;
    this.heldSinceMs = nowMs;
    const first = applyBounds(settings.initialReplicas, settings.minReplicas, settings.maxReplicas);
    this.replicas = resumed ? readyReplicas : first;
    const status = readyReplicas > 0 ? 'active' : this.replicas > 0 ? 'activating' : 'inactive';
    this.activity = { status, sinceMs: nowMs };
  }

  /** The average of requests in flight and waiting over the second of `nowMs`, 0 included. */
  record(nowMs: number, concurrency: number): void {
    this.add(nowMs, Math.max(0, concurrency - this.counted));
    this.counted = 0;
  }

  /**
   * A request met a revision without replicas: it counts as one from this moment, without waiting for its second to end,
   * and is taken off the next sample (pkg/activator/handler/concurrency_reporter.go). Repeating it changes nothing.
   */
  wake(nowMs: number): void {
    if (this.counted > 0) return;
    this.add(nowMs, 1);
    this.counted = 1;
  }

  /** `reachable`: whether any route leads to the revision. */
  decide(nowMs: number, readyReplicas: number, reachable = true): ReplicaDecision {
    // with an unlimited burst the gateway alone reports, and its silence is a load of zero
    const silent = this.stable.isEmpty(nowMs) && this.settings.targetBurstCapacity !== -1;
    const load = silent ? undefined : { stable: this.stable.average(nowMs), panic: this.panic.average(nowMs) };
    const { state, decision } = decide(
      this.state,
      { nowMs, readyReplicas, reachable, load },
      this.settings,
      this.target,
    );
    this.state = state;
    if (decision.valid) this.wish = decision;

    const { min, max } = boundsOf(this.settings, { reachable, initialised: this.initialised });
    const step = this.stepWithin(nowMs, reachable, min, max);
    if (step.apply && step.wanted !== undefined) this.replicas = step.wanted;

    const excessBurstCapacity = this.wish?.excessBurstCapacity ?? -1;
    const hold = !(step.wanted !== undefined && step.wanted > 0 && excessBurstCapacity >= 0);
    if (!hold) this.heldSinceMs = undefined;
    else this.heldSinceMs ??= nowMs;
    this.follow(nowMs, readyReplicas, reachable, step.wanted);

    const words =
      load === undefined ? [`no data for ${this.settings.stableWindowSec} s`] : this.explain(load, decision);
    if (decision.panicking) words.push(`in panic, not below ${state.maxPanicReplicas}`);
    if (this.wish) {
      const bounded = applyBounds(this.wish.desired, min, max);
      if (bounded !== this.wish.desired) words.push(`${this.wish.desired} bounded to ${bounded}`);
    }
    if (step.reason !== '') words.push(step.reason);
    return {
      desired: this.replicas,
      reason: `${words.join('; ')}; ${readyReplicas} ready, ${this.replicas} desired`,
      panic: decision.panicking,
      hold,
      excessBurstCapacity,
      activity: this.activity.status,
    };
  }

  private add(nowMs: number, concurrency: number): void {
    this.stable.record(nowMs, concurrency);
    this.panic.record(nowMs, concurrency);
  }

  private stepWithin(nowMs: number, reachable: boolean, min: number, max: number): ZeroStep {
    if (this.wish === undefined && this.activity.status !== 'activating') {
      return { wanted: undefined, apply: false, reason: 'nothing measured yet: nothing changes' };
    }
    const wanted = applyBounds(this.wish?.desired ?? 0, min, max);
    const { activity, heldSinceMs } = this;
    return stepToZero({ nowMs, wanted, activity, reachable, heldSinceMs }, this.settings);
  }

  private follow(nowMs: number, readyReplicas: number, reachable: boolean, wanted: number | undefined): void {
    const min = reachable ? this.settings.minReplicas : 0;
    const minReady = Math.max(min, this.initialised ? 1 : this.settings.initialReplicas);
    if (readyReplicas >= minReady) this.initialised = true;
    this.activity = nextActivity(this.activity, { nowMs, wanted, readyReplicas, minReady });
  }

  private explain(load: { stable: number; panic: number }, decision: ScalingDecision): string[] {
    const averages = `${short(load.stable)} over ${this.stable.windowSec} s, ${short(load.panic)} over ${this.panic.windowSec} s`;
    const wishes = `${decision.wantedByStable} and ${decision.wantedByPanic} wanted`;
    return [`in flight ${averages}, target ${short(this.target.target)}: ${wishes}`];
  }
}

function short(value: number): string {
  return String(Math.round(value * 100) / 100);
}
