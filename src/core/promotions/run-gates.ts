/** Takes a candidate through its gates in the real model server, away from all traffic, and keeps the evidence. */
import { asAppError, messageOf } from '../../errors.js';
import type { Check, Checked, GateDeps, GateInput } from './checks/check.js';
import { checkEvaluation } from './checks/evaluation.js';
import { checkGolden } from './checks/golden.js';
import { checkLatency } from './checks/latency.js';
import { checkMemory } from './checks/memory.js';
import { checkWebhook } from './checks/webhook.js';
import type { Gate } from './gate.js';
import { judgeBounds, judgeSignature } from './judge.js';
import type { GateResult } from './promotion.js';

export type { GateDeps, GateInput };

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
  const add = async (gate: GateResult['gate'], { outcome, evidence }: Checked) => {
    results.push({ gate, ...outcome, evidence, at: new Date().toISOString() });
    await onGate(results);
    return outcome.passed;
  };
  const { artifact } = input.candidate.model;
  try {
    await deps.sandbox.withModel(input.candidate.model, async (candidate) => {
      const outcome = { passed: true, reason: `it loads in ${candidate.loadMs.toFixed(1)} ms` };
      await add('load', { outcome, evidence: { loadMs: candidate.loadMs, artifact: artifact.digest } });
      for (const gate of input.gates) {
        signal.throwIfAborted();
        const checked = await checkGate({ deps, input, candidate, signal, before: [...results] }, gate);
        if (!(await add(gate.kind, checked))) return;
      }
    });
  } catch (error) {
    if (signal.aborted || results.length > 0) throw error;
    if (asAppError(error).code !== 'invalid') throw error;
    const outcome = { passed: false, reason: `it does not load: ${messageOf(error)}` };
    await add('load', { outcome, evidence: { artifact: artifact.digest } });
  }
  const failed = results.find((result) => !result.passed);
  return {
    passed: failed === undefined,
    results,
    reason: failed ? `${failed.gate} gate: ${failed.reason}` : 'every gate passed',
  };
}

async function checkGate(check: Check, gate: Gate): Promise<Checked> {
  const { input, candidate, signal } = check;
  try {
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
        return await checkEvaluation(check, gate);
      case 'golden':
        return await checkGolden(check, gate);
      case 'latency':
        return await checkLatency(check, gate);
      case 'memory':
        return await checkMemory(check, gate);
      case 'webhook':
        return await checkWebhook(check, gate);
    }
  } catch (error) {
    // what the data or the model did wrong is the gate's verdict; anything else is ours to retry
    const failure = asAppError(error);
    if (signal.aborted || !['invalid', 'not_found', 'too_large', 'unsupported'].includes(failure.code)) throw error;
    const evidence = 'dataset' in gate && gate.dataset !== undefined ? { dataset: gate.dataset } : {};
    return { outcome: { passed: false, reason: failure.message }, evidence };
  }
}
