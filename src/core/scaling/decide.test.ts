import { resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { agrees, readFixtures, replay } from '../../../verify/kpa/replay.js';
import { decide, initialScalingState, type ScalingInput } from './decide.js';
import { type ScalingSettings, scalingSettings } from './settings.js';

describe("Knative's recorded traces", async () => {
  const fixtures = await readFixtures(resolve('verify', 'kpa', 'fixtures'));

  it('are there', () => expect(fixtures.size).toBeGreaterThan(60));

  it.each([...fixtures])('%s', (file, text) => {
    let compared = 0;
    for (const comparison of replay(file, text)) {
      compared++;
      if (!agrees(comparison)) expect(comparison.ours, JSON.stringify(comparison)).toEqual(comparison.knative);
    }
    expect(compared).toBeGreaterThan(0);
  });
});

function at(sec: number, load: ScalingInput['load'], readyReplicas: number, reachable = true): ScalingInput {
  return { nowMs: sec * 1000, readyReplicas, reachable, load };
}

function run(settings: ScalingSettings, inputs: readonly ScalingInput[], readyAtStart = inputs[0]?.readyReplicas ?? 0) {
  let state = initialScalingState(0, readyAtStart);
  return inputs.map((input) => {
    const next = decide(state, input, settings);
    state = next.state;
    return next.decision;
  });
}

describe('decide', () => {
  const ten = scalingSettings({ targetConcurrency: 10, targetUtilization: 1 });

  it('wants the load divided by the target, rounded up', () => {
    const [decision] = run(ten, [at(0, { stable: 41, panic: 41 }, 5)], 1);
    expect(decision).toMatchObject({ valid: true, desired: 5, panicking: false, excessBurstCapacity: 50 - 211 - 41 });
  });

  it('changes nothing without data, and keeps the panic it was in', () => {
    const [before, silent] = run(ten, [at(0, { stable: 0, panic: 100 }, 1), at(2, undefined, 1)]);
    expect(before?.panicking).toBe(true);
    expect(silent).toMatchObject({ valid: false, panicking: true });
  });

  it('leaves panic only later than a stable window after the last time over the threshold', () => {
    const calm = { stable: 10, panic: 10 };
    const decisions = run(ten, [at(0, { stable: 10, panic: 90 }, 1), at(60, calm, 9), at(60.001, calm, 9)]);
    expect(decisions.map(({ desired, panicking }) => [desired, panicking])).toEqual([
      [9, true],
      [9, true],
      [4, false],
    ]);
  });

  it('lets an unreachable revision fall at once, past the down rate and the scale-down delay', () => {
    const delayed = { ...ten, scaleDownDelaySec: 60 };
    const idle = { stable: 0, panic: 0 };
    const inputs = [at(0, { stable: 40, panic: 40 }, 4), at(2, idle, 4), at(4, idle, 4, false)];
    expect(run(delayed, inputs, 1).map(({ desired }) => desired)).toEqual([4, 4, 0]);
  });

  it('starts a restart with several replicas in panic, so that it keeps them', () => {
    const idle = { stable: 0, panic: 0 };
    const desired = run(ten, [at(2, idle, 7), at(60, idle, 7), at(62, idle, 7)], 7).map((decision) => decision.desired);
    expect(desired).toEqual([7, 7, 3]);
  });
});

describe('scalingSettings', () => {
  it.each([
    [{ stableWindowSec: 5 }, 'scaling.stableWindowSec is 5; it must be a whole number of at least 6 and at most 3600'],
    [{ maxScaleUpRate: 1 }, 'scaling.maxScaleUpRate is 1; it must be a number above 1'],
    [{ targetBurstCapacity: -2 }, 'scaling.targetBurstCapacity is -2; it must be -1 or a number of at least 0'],
    [{ minReplicas: 3, maxReplicas: 2 }, 'scaling.maxReplicas is 2; it must be 0 or at least minReplicas (3)'],
    [{ initialReplicas: 3, maxReplicas: 2 }, 'scaling.initialReplicas is 3; it must be at most maxReplicas (2)'],
    [{ targetUtilization: Number.NaN }, 'scaling.targetUtilization is NaN; it must be a number above 0 and at most 1'],
  ])('refuses %j', (given, message) => expect(() => scalingSettings(given)).toThrow(message));
});
