/** Held-out data: candidate and champion, scored now on the same bytes. A stored number is never compared with. */
import type { LoadedModel } from '../../fleet.js';
import { predictAll, readEvaluationSet } from '../evaluation-set.js';
import type { GateOf } from '../gate.js';
import { type GateOutcome, judgeScore, type ScoreBounds } from '../judge.js';
import { comparePaired } from '../paired.js';
import { type Label, OF_SCORES, type Predicted, pick, score } from '../score.js';
import { rowsOfSlice } from '../slices.js';
import { type Check, type Checked, withChampion } from './check.js';

export async function checkEvaluation(check: Check, gate: GateOf<'evaluation'>): Promise<Checked> {
  const { deps, input, signal } = check;
  const set = await readEvaluationSet(deps.db, deps.blobs, input.project, gate.dataset);
  const { expected } = set;
  const about = { dataset: gate.dataset, digest: set.digest, rows: set.rows, metric: gate.metric };
  if (!expected) {
    const reason = `dataset "${gate.dataset}" says no expected output`;
    return { outcome: { passed: false, reason }, evidence: about };
  }
  // what is wrong with a slice is known before anything is computed
  const slices = gate.slices.map((slice) => ({ slice, rows: rowsOfSlice(set, slice) }));
  const predict = (model: LoadedModel) =>
    predictAll(model.forward, set, gate.output ?? expected.name, signal, OF_SCORES.has(gate.metric));
  const mine = await predict(check.candidate);
  const theirs = await withChampion(check, async (champion) => champion && predict(champion));
  const all = await judge(gate, mine, theirs, expected.values, signal);
  const parts = [];
  for (const { slice, rows } of slices) {
    const { metric, confidence } = gate;
    const { name, min, max, maxRegression } = slice;
    const values = rows.map((row) => expected.values[row] as Label);
    const bounds = { metric, confidence, min, max, maxRegression };
    parts.push({ name, ...(await judge(bounds, pick(mine, rows), theirs && pick(theirs, rows), values, signal)) });
  }
  const failed = parts.find((part) => !part.outcome.passed);
  const slicesReason = parts.length > 0 ? `; ${parts.length} slice(s) keep their bounds` : '';
  const outcome: GateOutcome =
    all.outcome.passed && failed
      ? { passed: false, reason: `slice "${failed.name}": ${failed.outcome.reason}` }
      : { passed: all.outcome.passed, reason: `${all.outcome.reason}${all.outcome.passed ? slicesReason : ''}` };
  return {
    outcome,
    evidence: {
      ...about,
      ...all.evidence,
      servingVersion: input.serving?.version ?? null,
      ...(gate.confidence === undefined ? {} : { confidence: gate.confidence }),
      ...(parts.length > 0
        ? {
            slices: parts.map(({ name, outcome: { passed, reason }, evidence }) => ({
              name,
              passed,
              reason,
              ...evidence,
            })),
          }
        : {}),
    },
  };
}

async function judge(
  bounds: ScoreBounds,
  mine: Predicted,
  theirs: Predicted | undefined,
  expected: readonly Label[],
  signal: AbortSignal,
): Promise<Checked> {
  const { metric, confidence, maxRegression, minImprovement } = bounds;
  const candidate = score(metric, mine, expected);
  const champion = theirs && score(metric, theirs, expected);
  const asked = confidence !== undefined && (maxRegression !== undefined || minImprovement !== undefined);
  const paired = theirs && asked ? await comparePaired(metric, mine, theirs, expected, confidence, signal) : undefined;
  return {
    outcome: judgeScore(bounds, { candidate, champion, rows: expected.length, paired }),
    evidence: {
      candidate,
      serving: champion ?? null,
      rows: expected.length,
      // JSON has no infinity: nothing can be said yet
      ...(paired ? { paired: { ...paired, lower: Number.isFinite(paired.lower) ? paired.lower : null } } : {}),
    },
  };
}
