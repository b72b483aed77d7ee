import { describe, expect, it } from 'vitest';
import { ReplicaScaler, type ReplicaScalerOptions } from './replica-scaler.js';
import { type ScalingSettings, scalingSettings } from './settings.js';

/** A scaler whose replicas are ready one tick after they are wanted, on a clock of whole seconds. */
class Drive {
  private sec = 0;
  private readonly scaler: ReplicaScaler;
  ready: number;

  constructor(given: Partial<ScalingSettings>, begin: Partial<ReplicaScalerOptions> = {}) {
    this.ready = begin.readyReplicas ?? 0;
    this.scaler = new ReplicaScaler({ settings: scalingSettings(given), nowMs: 0, ...begin });
  }

  /** Runs to `untilSec` under a constant load and gives [second, desired] wherever the latter changed. */
  to(untilSec: number, concurrency: number, reachable = true): [number, number][] {
    const changes: [number, number][] = [];
    for (; this.sec < untilSec; this.sec++) {
      this.scaler.record(this.sec * 1000, concurrency);
      if (this.sec % 2 === 1) continue;
      const { desired } = this.scaler.decide(this.sec * 1000, this.ready, reachable);
      if (desired !== this.ready) changes.push([this.sec, desired]);
      this.ready = desired;
    }
    return changes;
  }

  now(reachable = true) {
    return this.scaler.decide(this.sec * 1000, this.ready, reachable);
  }

  wake() {
    this.scaler.wake(this.sec * 1000);
    return this.now();
  }
}

describe('ReplicaScaler', () => {
  it('starts with the initial replicas, and goes to zero a stable window after they were ready', () => {
    const drive = new Drive({ initialReplicas: 3 });
    expect(drive.now()).toMatchObject({ desired: 3, activity: 'activating', hold: true });
    // ready at 2 s; idle: one is enough from 4 s on; active for 60 s at 62 s; then the gateway has held for over 30 s
    expect(drive.to(70, 0)).toEqual([
      [0, 3],
      [4, 1],
      [64, 0],
    ]);
    expect(drive.now()).toMatchObject({ desired: 0, activity: 'inactive' });
    expect(drive.now().reason).toContain('zero; 0 ready, 0 desired');
  });

  it('waits for the grace period where the gateway was not in the path, and for the retention', () => {
    const idleFrom = (given: Partial<ScalingSettings>) => new Drive(given).to(300, 0).at(-1);
    expect(idleFrom({ targetBurstCapacity: 0 })).toEqual([92, 0]);
    expect(idleFrom({ targetBurstCapacity: 0, scaleToZeroGraceSec: 4 })).toEqual([66, 0]);
    expect(idleFrom({ lastReplicaRetentionSec: 100 })).toEqual([162, 0]);
  });

  it('wakes from zero at the first request, without waiting for its second to end', () => {
    const drive = new Drive({});
    drive.to(120, 0);
    expect(drive.ready).toBe(0);
    expect(drive.wake()).toMatchObject({ desired: 1, activity: 'activating' });
    expect(drive.wake()).toMatchObject({ desired: 1 });
  });

  it('panics on a burst, says so, and comes down after it', () => {
    const drive = new Drive({ targetConcurrency: 10, targetUtilization: 1 });
    drive.to(60, 5);
    expect(drive.ready).toBe(1);
    drive.to(70, 100);
    expect(drive.ready).toBe(10);
    const told = drive.now();
    expect(told.panic).toBe(true);
    expect(told.reason).toMatch(
      /^in flight [\d.]+ over 60 s, 100 over 6 s, target 10: \d and 10 wanted; in panic, not/,
    );
    drive.to(124, 5);
    expect(drive.ready).toBe(10);
    drive.to(150, 5);
    expect(drive.ready).toBe(1);
  });

  it('keeps the bounds, and drops the floor when no route leads here', () => {
    const drive = new Drive({ minReplicas: 2, maxReplicas: 4, targetConcurrency: 1 });
    drive.to(100, 50);
    expect(drive.ready).toBe(4);
    expect(drive.now().reason).toContain('72 bounded to 4');
    drive.to(300, 0);
    expect(drive.ready).toBe(2);
    drive.to(400, 0, false);
    expect(drive.ready).toBe(0);
  });

  it('keeps one replica where scale to zero is off', () => {
    expect(new Drive({ scaleToZero: false }).to(300, 0)).toEqual([[0, 1]]);
  });

  it('keeps what a restart found until a window has passed', () => {
    const drive = new Drive({}, { readyReplicas: 6, resumed: true });
    expect(drive.now()).toMatchObject({ desired: 6, panic: true });
    expect(drive.to(62, 0)).toEqual([]);
    expect(drive.to(64, 0)).toEqual([[62, 3]]);
  });

  it('gives up on a revision that never becomes ready', () => {
    const drive = new Drive({ activationTimeoutSec: 10 });
    drive.to(1, 0);
    drive.ready = 0;
    for (let sec = 2; sec <= 12; sec += 2) {
      drive.to(sec, 0);
      drive.ready = 0;
    }
    drive.to(20, 0);
    expect(drive.now()).toMatchObject({ desired: 0, activity: 'inactive' });
  });
});
