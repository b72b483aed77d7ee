/** Golden requests: each is answered and, where an output is expected of it, agrees. */
import { predictAll, readEvaluationSet } from '../evaluation-set.js';
import type { GateOf } from '../gate.js';
import type { Label } from '../score.js';
import type { Check, Checked } from './check.js';

export async function checkGolden({ deps, input, candidate, signal }: Check, gate: GateOf<'golden'>): Promise<Checked> {
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

function agrees(expected: Label, given: Label | undefined, tolerance: number): boolean {
  if (typeof expected === 'number' && typeof given === 'number') return Math.abs(expected - given) <= tolerance;
  return String(expected) === String(given);
}
