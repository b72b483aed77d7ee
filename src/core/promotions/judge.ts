/** The pure decisions on the evidence of gates, in words with the numbers that decided. */
import type { Signature, TensorSpec } from '../../protocol/signature.js';
import { MIN_BOOTSTRAP_ROWS, type Paired, rowsNeeded } from './paired.js';
import { HIGHER_IS_BETTER, type Metric } from './score.js';

export interface GateOutcome {
  readonly passed: boolean;
  /** In words, with the numbers that decided. */
  readonly reason: string;
}

/** Whether a value keeps within a gate's absolute bounds. */
export function judgeBounds(
  name: string,
  value: number | undefined,
  gate: { min?: number | undefined; max?: number | undefined },
): GateOutcome {
  if (value === undefined) return { passed: false, reason: `the job reported no metric "${name}"` };
  if (!Number.isFinite(value)) return { passed: false, reason: `${name} is ${value}` };
  if (gate.min !== undefined && value < gate.min)
    return { passed: false, reason: `${name} ${show(value)} is below the floor ${show(gate.min)}` };
  if (gate.max !== undefined && value > gate.max)
    return { passed: false, reason: `${name} ${show(value)} is above the ceiling ${show(gate.max)}` };
  const within = [
    gate.min !== undefined ? `at least ${show(gate.min)}` : '',
    gate.max !== undefined ? `at most ${show(gate.max)}` : '',
  ].filter(Boolean);
  return { passed: true, reason: `${name} ${show(value)}${within.length ? ` is ${within.join(' and ')}` : ''}` };
}

/** What a score, of all rows or of a slice, must keep. */
export interface ScoreBounds {
  readonly metric: Metric;
  readonly min?: number | undefined;
  readonly max?: number | undefined;
  readonly maxRegression?: number | undefined;
  readonly minImprovement?: number | undefined;
  /** Asked of the bounds against the champion. */
  readonly confidence?: number | undefined;
}

export interface Scores {
  readonly candidate: number;
  /** Undefined where nothing is served. */
  readonly champion: number | undefined;
  readonly rows: number;
  /** Where confidence is asked and there is a champion. */
  readonly paired?: Paired | undefined;
}

/** A score: absolute bounds first, then the change against the champion on the same rows. */
export function judgeScore(bounds: ScoreBounds, { candidate, champion, rows, paired }: Scores): GateOutcome {
  const { metric, minImprovement, maxRegression } = bounds;
  const absolute = judgeBounds(metric, candidate, bounds);
  if (!absolute.passed) return absolute;
  if (champion === undefined)
    return { passed: true, reason: `${absolute.reason}; there is no serving revision to compare with` };
  const compared = minImprovement !== undefined || maxRegression !== undefined;
  if (compared && !Number.isFinite(champion)) {
    return {
      passed: false,
      reason: `${absolute.reason}; the serving revision's is ${champion}: nothing to compare with`,
    };
  }
  const better = HIGHER_IS_BETTER[metric] ? candidate - champion : champion - candidate;
  const change = `${show(Math.abs(better))} ${better >= 0 ? 'better' : 'worse'} than the serving revision's ${show(champion)}`;
  const fail = (asked: string): GateOutcome => ({
    passed: false,
    reason: `${metric} ${show(candidate)} is ${change}; ${asked}`,
  });
  const more = `at least ${show(minImprovement ?? 0)} better is asked`;
  const less = `at most ${show(maxRegression ?? 0)} worse is allowed`;
  if (minImprovement !== undefined && better < minImprovement) return fail(more);
  if (maxRegression !== undefined && better < -maxRegression) return fail(less);
  if (!compared || bounds.confidence === undefined || !paired)
    return { passed: true, reason: `${absolute.reason} and ${change}` };
  const sure = `with ${show(bounds.confidence * 100)} % confidence`;
  const doubtful = (bound: number, asked: string) =>
    fail(`${asked}, and ${sure} that cannot be said: ${tooFew(rows, paired, bound)}`);
  if (minImprovement !== undefined && paired.lower < minImprovement) return doubtful(minImprovement, more);
  if (maxRegression !== undefined && paired.lower < -maxRegression) return doubtful(-maxRegression, less);
  const least = `at ${paired.lower >= 0 ? 'least' : 'most'} ${show(Math.abs(paired.lower))} ${paired.lower >= 0 ? 'better' : 'worse'}`;
  return { passed: true, reason: `${absolute.reason} and ${change}; ${sure} ${least}, over ${rows} rows` };
}

function tooFew(rows: number, paired: Paired, bound: number): string {
  if (paired.method === 'bootstrap' && rows < MIN_BOOTSTRAP_ROWS)
    return `too few rows: ${rows}, needs at least ${MIN_BOOTSTRAP_ROWS}`;
  const needed = rowsNeeded(rows, paired, bound);
  return needed === undefined
    ? `too few rows: ${rows}, and no number of rows can show what lies at the bound`
    : `too few rows: ${rows}, needs about ${needed}`;
}

/** A measure that must not be above a limit, nor above so many times the champion's. */
export function judgeMost(
  name: string,
  unit: string,
  limits: { readonly max?: number | undefined; readonly maxRatio?: number | undefined },
  candidate: number,
  champion: number | undefined,
): GateOutcome {
  const said = `${name} ${show(candidate)} ${unit}`;
  if (limits.max !== undefined && candidate > limits.max)
    return { passed: false, reason: `${said} is above the ceiling of ${show(limits.max)} ${unit}` };
  const below = limits.max === undefined ? said : `${said} is at most ${show(limits.max)} ${unit}`;
  if (limits.maxRatio === undefined) return { passed: true, reason: below };
  if (champion === undefined) return { passed: true, reason: `${below}; there is no serving revision to compare with` };
  const ratio = champion > 0 ? candidate / champion : Number.POSITIVE_INFINITY;
  const times = `${show(ratio)} times the serving revision's ${show(champion)} ${unit}`;
  return ratio > limits.maxRatio
    ? { passed: false, reason: `${said} is ${times}; at most ${show(limits.maxRatio)} times is allowed` }
    : { passed: true, reason: `${below} and ${times}` };
}

/**
 * Whether clients of the serving revision can call the candidate unchanged: it must take every input that the old one
 * took and need no other, and give every output that the old one gave.
 */
export function judgeSignature(candidate: Signature, serving: Signature | undefined): GateOutcome {
  if (!serving) return { passed: true, reason: 'there is no serving revision to be compatible with' };
  for (const old of serving.inputs) {
    const now = candidate.inputs.find((input) => input.name === old.name);
    if (!now) return { passed: false, reason: `input "${old.name}" that clients send is gone` };
    if (!accepts(now, old))
      return { passed: false, reason: `input "${old.name}" was ${showSpec(old)} and is ${showSpec(now)}` };
  }
  const extra = candidate.inputs.find((input) => !serving.inputs.some((old) => old.name === input.name));
  if (extra) return { passed: false, reason: `input "${extra.name}" is new, and clients do not send it` };
  for (const old of serving.outputs) {
    const now = candidate.outputs.find((output) => output.name === old.name);
    if (!now) return { passed: false, reason: `output "${old.name}" that clients read is gone` };
    if (!accepts(old, now))
      return { passed: false, reason: `output "${old.name}" was ${showSpec(old)} and is ${showSpec(now)}` };
  }
  return {
    passed: true,
    reason: `${serving.inputs.length} input(s) and ${serving.outputs.length} output(s) stay compatible`,
  };
}

/** Whether every tensor of `given` is one of `wide`: a variable dimension (-1) takes any size. */
function accepts(wide: TensorSpec, given: TensorSpec): boolean {
  return (
    wide.datatype === given.datatype &&
    wide.shape.length === given.shape.length &&
    wide.shape.every((size, at) => size === -1 || size === given.shape[at])
  );
}

function showSpec(spec: TensorSpec): string {
  return `${spec.datatype} [${spec.shape.join(', ')}]`;
}

function show(value: number): string {
  return String(Number(value.toPrecision(4)));
}
