/** The gates that a candidate must pass before it sees traffic, and the pure decisions on their evidence. */
import { z } from 'zod';
import type { Signature, TensorSpec } from '../../protocol/signature.js';
import { NAME } from '../training/spec.js';
import { HIGHER_IS_BETTER, METRICS } from './score.js';

const bounds = {
  min: z.number().optional().describe('Least allowed value.'),
  max: z.number().optional().describe('Most allowed value.'),
};

function boundsInOrder({ min, max }: { min?: number | undefined; max?: number | undefined }): boolean {
  return min === undefined || max === undefined || min <= max;
}

const OUT_OF_ORDER = { message: 'must be at most max', path: ['min'] };

export const gateSchema = z.discriminatedUnion('kind', [
  z
    .object({
      kind: z.literal('metric'),
      name: z.string().min(1).max(250).describe('A metric that the job reported.'),
      ...bounds,
    })
    .strict()
    .refine(boundsInOrder, OUT_OF_ORDER),
  z
    .object({
      kind: z.literal('evaluation'),
      dataset: NAME.describe('Held-out data: inputs and expected outputs; its newest version is used.'),
      metric: z.enum(METRICS),
      ...bounds,
      maxRegression: z
        .number()
        .min(0)
        .optional()
        .describe('How much worse than the serving revision it may be, on the same data, evaluated now.'),
      minImprovement: z.number().min(0).optional().describe('How much better than the serving revision it must be.'),
    })
    .strict()
    .refine(boundsInOrder, OUT_OF_ORDER),
  z.object({ kind: z.literal('signature') }).strict(),
  z
    .object({
      kind: z.literal('golden'),
      dataset: NAME.describe('Requests that must be answered; where outputs are expected, they must agree.'),
      tolerance: z.number().min(0).default(1e-4).describe('Allowed absolute difference of numeric outputs.'),
    })
    .strict(),
]);

export type Gate = z.infer<typeof gateSchema>;

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

/** An evaluation gate: absolute bounds first, then the change against the champion on the same data. */
export function judgeEvaluation(
  gate: Extract<Gate, { kind: 'evaluation' }>,
  candidate: number,
  champion: number | undefined,
): GateOutcome {
  const absolute = judgeBounds(gate.metric, candidate, gate);
  if (!absolute.passed) return absolute;
  if (champion === undefined)
    return { passed: true, reason: `${absolute.reason}; there is no serving revision to compare with` };
  const compared = gate.minImprovement !== undefined || gate.maxRegression !== undefined;
  if (compared && !Number.isFinite(champion)) {
    return {
      passed: false,
      reason: `${absolute.reason}; the serving revision's is ${champion}: nothing to compare with`,
    };
  }
  const better = HIGHER_IS_BETTER[gate.metric] ? candidate - champion : champion - candidate;
  const change = `${show(Math.abs(better))} ${better >= 0 ? 'better' : 'worse'} than the serving revision's ${show(champion)}`;
  if (gate.minImprovement !== undefined && better < gate.minImprovement) {
    return {
      passed: false,
      reason: `${gate.metric} ${show(candidate)} is ${change}; at least ${show(gate.minImprovement)} better is asked`,
    };
  }
  if (gate.maxRegression !== undefined && better < -gate.maxRegression) {
    return {
      passed: false,
      reason: `${gate.metric} ${show(candidate)} is ${change}; at most ${show(gate.maxRegression)} worse is allowed`,
    };
  }
  return { passed: true, reason: `${absolute.reason} and ${change}` };
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
