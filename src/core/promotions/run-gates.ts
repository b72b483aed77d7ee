/** Takes a candidate through its gates in the real model server, away from all traffic, and keeps the evidence. */
import { asAppError, messageOf } from '../../errors.js';
import type { Signature } from '../../protocol/signature.js';
import type { Blobs } from '../blobs.js';
import type { LoadedModel, Sandbox } from '../fleet.js';
import type { Servable } from '../models/model.js';
import type { Db } from '../schema.js';
import { predictAll, readEvaluationSet, type Value } from './evaluation-set.js';
import { type Gate, type GateOutcome, judgeBounds, judgeEvaluation, judgeSignature } from './gate.js';
import type { GateResult } from './promotion.js';
import { score } from './score.js';

export interface GateInput {
  readonly project: string;
  readonly gates: readonly Gate[];
  readonly candidate: { readonly model: Servable; readonly metrics: Readonly<Record<string, number>> };
  /** What the endpoint serves now. */
  readonly serving: { readonly model: Servable; readonly signature: Signature; readonly version: number } | undefined;
}

export interface GateDeps {
  readonly db: Db;
  readonly blobs: Blobs;
  readonly sandbox: Sandbox;
}

type Evidence = Record<string, unknown>;

/**
 * Checks the gates in their order and stops at the first that fails. `onGate` is told of each. Never rejects for what
 * the model or the data do; only for a lost database or an abort.
 */
export async function runGates(
  deps: GateDeps,
  input: GateInput,
  onGate: (results: readonly GateResult[]) => Promise<void>,
  signal: AbortSignal,
): Promise<{ passed: boolean; results: readonly GateResult[]; reason: string }> {
  const results: GateResult[] = [];
  const add = async (gate: GateResult['gate'], outcome: GateOutcome, evidence: Evidence) => {
    results.push({ gate, ...outcome, evidence, at: new Date().toISOString() });
    await onGate(results);
    return outcome.passed;
  };
  try {
    await deps.sandbox.withModel(input.candidate.model, async (candidate) => {
      const loaded = { passed: true, reason: `it loads in ${candidate.loadMs.toFixed(1)} ms` };
      await add('load', loaded, { loadMs: candidate.loadMs, artifact: input.candidate.model.artifact.digest });
      for (const gate of input.gates) {
        signal.throwIfAborted();
        const { outcome, evidence } = await check(deps, input, gate, candidate, signal);
        if (!(await add(gate.kind, outcome, evidence))) return;
      }
    });
  } catch (error) {
    if (signal.aborted || results.length > 0) throw error;
    if (asAppError(error).code !== 'invalid') throw error;
    await add(
      'load',
      { passed: false, reason: `it does not load: ${messageOf(error)}` },
      { artifact: input.candidate.model.artifact.digest },
    );
  }
  const failed = results.find((result) => !result.passed);
  return {
    passed: failed === undefined,
    results,
    reason: failed ? `${failed.gate} gate: ${failed.reason}` : 'every gate passed',
  };
}

async function check(
  deps: GateDeps,
  input: GateInput,
  gate: Gate,
  candidate: LoadedModel,
  signal: AbortSignal,
): Promise<{ outcome: GateOutcome; evidence: Evidence }> {
  switch (gate.kind) {
    case 'metric': {
      const value = input.candidate.metrics[gate.name];
      return { outcome: judgeBounds(gate.name, value, gate), evidence: { [gate.name]: value ?? null } };
    }
    case 'signature':
      return {
        outcome: judgeSignature(candidate.signature, input.serving?.signature),
        evidence: { candidate: candidate.signature, serving: input.serving?.signature ?? null },
      };
    case 'evaluation':
    case 'golden':
      try {
        return gate.kind === 'evaluation'
          ? await evaluate(deps, input, gate, candidate, signal)
          : await golden(deps, input, gate, candidate, signal);
      } catch (error) {
        // what the data or the model did wrong is the gate's verdict; anything else is ours to retry
        const failure = asAppError(error);
        if (signal.aborted || !['invalid', 'not_found', 'too_large', 'unsupported'].includes(failure.code)) throw error;
        return { outcome: { passed: false, reason: failure.message }, evidence: { dataset: gate.dataset } };
      }
  }
}

/** Candidate and champion, scored now on the same bytes: a stored number is never compared with. */
async function evaluate(
  deps: GateDeps,
  input: GateInput,
  gate: Extract<Gate, { kind: 'evaluation' }>,
  candidate: LoadedModel,
  signal: AbortSignal,
) {
  const set = await readEvaluationSet(deps.db, deps.blobs, input.project, gate.dataset);
  const { expected } = set;
  if (!expected)
    return {
      outcome: { passed: false, reason: `dataset "${gate.dataset}" says no expected output` },
      evidence: { dataset: gate.dataset },
    };
  const measure = async (model: LoadedModel) =>
    score(gate.metric, (await predictAll(model.forward, set, expected.name, signal)).values, expected.values);
  const mine = await measure(candidate);
  const theirs = input.serving ? await deps.sandbox.withModel(input.serving.model, measure) : undefined;
  return {
    outcome: judgeEvaluation(gate, mine, theirs),
    evidence: {
      metric: gate.metric,
      candidate: mine,
      serving: theirs ?? null,
      servingVersion: input.serving?.version ?? null,
      dataset: gate.dataset,
      digest: set.digest,
      rows: set.rows,
    },
  };
}

async function golden(
  deps: GateDeps,
  input: GateInput,
  gate: Extract<Gate, { kind: 'golden' }>,
  candidate: LoadedModel,
  signal: AbortSignal,
) {
  const set = await readEvaluationSet(deps.db, deps.blobs, input.project, gate.dataset);
  const { values, requestMs } = await predictAll(candidate.forward, set, set.expected?.name, signal);
  const wrong = set.expected?.values.findIndex((value, at) => !agrees(value, values[at], gate.tolerance)) ?? -1;
  const evidence = { dataset: gate.dataset, digest: set.digest, rows: set.rows, slowestMs: Math.max(...requestMs) };
  if (wrong !== -1) {
    const reason = `row ${wrong} gives ${values[wrong]}, ${set.expected?.values[wrong]} is expected (tolerance ${gate.tolerance})`;
    return { outcome: { passed: false, reason }, evidence };
  }
  return {
    outcome: { passed: true, reason: `all ${set.rows} golden rows are answered${set.expected ? ' as expected' : ''}` },
    evidence,
  };
}

function agrees(expected: Value, given: Value | undefined, tolerance: number): boolean {
  if (typeof expected === 'number' && typeof given === 'number') return Math.abs(expected - given) <= tolerance;
  return String(expected) === String(given);
}
