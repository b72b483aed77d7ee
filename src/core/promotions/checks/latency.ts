/** How long the candidate takes to answer, beside what serves now, in the same sandbox. */
import type { Forward } from '../../inference/forward.js';
import { requestRows } from '../evaluation-set.js';
import type { GateOf } from '../gate.js';
import { judgeMost } from '../judge.js';
import { type Check, type Checked, withChampion } from './check.js';
import { makeRequests } from './requests.js';

export async function checkLatency(check: Check, gate: GateOf<'latency'>): Promise<Checked> {
  const made = await makeRequests(check, gate.dataset, gate.rows);
  return withChampion(check, async (champion) => {
    const arms = [check.candidate.forward, ...(champion ? [champion.forward] : [])];
    const times = await inTurns(arms, made.bodies, gate, check.signal);
    const [candidateMs = 0, servingMs] = times.map((one) => quantileOf(one, gate.quantile));
    const name = `the ${Number((gate.quantile * 100).toPrecision(4))} % quantile`;
    return {
      outcome: judgeMost(name, 'ms', { max: gate.maxMs, maxRatio: gate.maxRatio }, candidateMs, servingMs),
      evidence: {
        quantile: gate.quantile,
        candidateMs,
        servingMs: servingMs ?? null,
        medianMs: times.map((one) => quantileOf(one, 0.5)),
        servingVersion: check.input.serving?.version ?? null,
        requests: gate.requests,
        warmup: gate.warmup,
        rows: gate.rows,
        ...made.evidence,
      },
    };
  });
}

/**
 * Milliseconds of each arm's requests, one at a time: each request goes to every arm, the first of them in turns, so that
 * what else the machine does meets all of them alike.
 */
async function inTurns(
  arms: readonly Forward[],
  bodies: readonly Buffer[],
  { requests, warmup }: { readonly requests: number; readonly warmup: number },
  signal: AbortSignal,
): Promise<number[][]> {
  const times = arms.map((): number[] => []);
  for (let request = 0; request < warmup + requests; request++) {
    signal.throwIfAborted();
    const body = bodies[request % bodies.length] as Buffer;
    for (let turn = 0; turn < arms.length; turn++) {
      const arm = (request + turn) % arms.length;
      const began = performance.now();
      await requestRows(arms[arm] as Forward, body);
      if (request >= warmup) times[arm]?.push(performance.now() - began);
    }
  }
  return times;
}

/** The least value that at least a share of `q` does not exceed. */
export function quantileOf(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(q * sorted.length - 1e-9) - 1)] ?? Number.NaN;
}
