import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { decide, initialScalingState } from '../../src/core/scaling/decide.js';
import {
  DEFAULT_SCALING,
  panicWindowSec,
  resolveTarget,
  type ScalingSettings,
} from '../../src/core/scaling/settings.js';
import { BucketWindow, type MaxEntry, recordMax } from '../../src/core/scaling/window.js';

/** One value of ours beside Knative's, at one place of one trace. */
export interface Comparison {
  readonly kind: 'average' | 'maximum' | 'decision' | 'settings';
  readonly where: string;
  readonly ours: unknown;
  readonly knative: unknown;
  /** The state before a decision, where there is one. */
  readonly before?: unknown;
}

interface Settings extends Omit<ScalingSettings, 'targetConcurrency'> {
  readonly metric: 'concurrency' | 'rps';
  /** 0: none. */
  readonly target: number;
}

interface DecideHeader {
  readonly name: string;
  readonly settings: Settings;
  readonly targetValue: number;
  readonly totalValue: number;
  readonly panicWindowSec: number;
  readonly startMs: number;
  readonly readyAtStart: number;
}

interface DecideStep {
  readonly atMs: number;
  /** Pairs of [ms since the start, value]; absent where the averages were made up. */
  readonly samples?: readonly (readonly [number, number])[];
  readonly empty?: boolean;
  readonly stable: number;
  readonly panic: number;
  readonly ready: number;
  readonly unreachable?: boolean;
  readonly invalid?: boolean;
  readonly desired: number;
  readonly ebc: number;
  readonly panicking?: boolean;
  readonly maxPanic: number;
}

interface WindowHeader {
  readonly name: string;
  readonly kind: 'average' | 'max';
  readonly seconds: number;
  readonly startMs: number;
}

interface WindowStep {
  readonly recordMs: number;
  readonly value: number;
  readonly averageMs?: number;
  readonly average?: number;
  readonly empty?: boolean;
  readonly max?: number;
}

/** Every comparison of one trace with this program, in order. `text` is a fixture: a JSON array, its head first. */
export function* replay(file: string, text: string): Generator<Comparison> {
  const [head, ...steps]: unknown[] = JSON.parse(text);
  if (file.startsWith('decide-')) yield* replayDecisions(head as DecideHeader, steps as DecideStep[]);
  else if (file.startsWith('window-')) yield* replayWindow(head as WindowHeader, steps as WindowStep[]);
  else yield* compareDefaults(head as Record<string, number>);
}

/** The names and texts of all fixtures of a folder, by name. */
export async function readFixtures(dir: string): Promise<Map<string, string>> {
  const names = (await readdir(dir)).filter((name) => name.endsWith('.json')).sort();
  return new Map(
    await Promise.all(names.map(async (name) => [name, await readFile(join(dir, name), 'utf8')] as const)),
  );
}

/** Equal as numbers and structures; -0 is 0. */
export function agrees({ ours, knative }: Comparison): boolean {
  return JSON.stringify(ours) === JSON.stringify(knative);
}

function* replayDecisions(head: DecideHeader, steps: readonly DecideStep[]): Generator<Comparison> {
  const { metric, target: given, ...rest } = head.settings;
  // rates per second take the same arithmetic with another default
  const targetConcurrency = given > 0 ? given : metric === 'rps' ? 200 : undefined;
  const settings: ScalingSettings = { ...DEFAULT_SCALING, ...rest, targetConcurrency };
  const { target, total } = resolveTarget(settings);
  const panicSec = panicWindowSec(settings);
  yield {
    kind: 'settings',
    where: head.name,
    ours: [target, total, panicSec],
    knative: [head.targetValue, head.totalValue, head.panicWindowSec],
  };
  const stable = new BucketWindow(settings.stableWindowSec);
  const panic = new BucketWindow(panicSec);
  let state = initialScalingState(head.startMs, head.readyAtStart);
  for (const step of steps) {
    const nowMs = head.startMs + step.atMs;
    const where = `${head.name} at ${step.atMs} ms`;
    if (step.samples) {
      for (const [ms, value] of step.samples) {
        stable.record(head.startMs + ms, value);
        panic.record(head.startMs + ms, value);
      }
      const knative = [step.stable, step.panic, step.empty ?? false];
      const empty = stable.isEmpty(nowMs) && settings.targetBurstCapacity !== -1;
      yield { kind: 'average', where, ours: [stable.average(nowMs), panic.average(nowMs), empty], knative };
    }
    const load = step.empty ? undefined : { stable: step.stable, panic: step.panic };
    const input = { nowMs, readyReplicas: step.ready, reachable: !step.unreachable, load };
    const next = decide(state, input, settings);
    const { valid, desired, excessBurstCapacity, panicking } = next.decision;
    yield {
      kind: 'decision',
      where,
      before: { state, input },
      ours: { valid, desired, ebc: excessBurstCapacity, panicking, maxPanic: next.state.maxPanicReplicas },
      knative: {
        valid: !step.invalid,
        desired: step.desired,
        ebc: step.ebc,
        panicking: step.panicking ?? false,
        maxPanic: step.maxPanic,
      },
    };
    state = next.state;
  }
}

function* replayWindow(head: WindowHeader, steps: readonly WindowStep[]): Generator<Comparison> {
  const buckets = new BucketWindow(head.seconds);
  let highest: readonly MaxEntry[] = [];
  for (const [index, step] of steps.entries()) {
    const where = `${head.name} step ${index}`;
    const recordMs = head.startMs + step.recordMs;
    if (head.kind === 'max') {
      highest = recordMax(highest, recordMs, step.value, head.seconds, 2);
      yield { kind: 'maximum', where, ours: highest[0]?.value, knative: step.max };
    } else {
      buckets.record(recordMs, step.value);
      const askMs = head.startMs + (step.averageMs ?? 0);
      const ours = [buckets.average(askMs), buckets.isEmpty(askMs)];
      yield { kind: 'average', where, ours, knative: [step.average, step.empty ?? false] };
    }
  }
}

function* compareDefaults(knative: Readonly<Record<string, number>>): Generator<Comparison> {
  const ours: Record<string, unknown> = {
    ...DEFAULT_SCALING,
    targetDefault: resolveTarget(DEFAULT_SCALING).total,
    retentionSec: DEFAULT_SCALING.lastReplicaRetentionSec,
  };
  for (const [name, value] of Object.entries(knative)) {
    yield { kind: 'settings', where: `default of ${name}`, ours: ours[name], knative: value };
  }
}
