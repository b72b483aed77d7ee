/** What the model server of the candidate holds in memory: once it is loaded, and after requests. */
import type { LoadedModel } from '../../fleet.js';
import { requestRows } from '../evaluation-set.js';
import type { GateOf } from '../gate.js';
import { judgeMost } from '../judge.js';
import { type Check, type Checked, withChampion } from './check.js';
import { makeRequests } from './requests.js';

const MB = 2 ** 20;
/** Requests between two looks. */
const LOOK_EVERY = 10;

interface Seen {
  readonly loadedMb: number;
  /** The most that was seen, from the load on. */
  readonly mostMb: number;
}

export async function checkMemory(check: Check, gate: GateOf<'memory'>): Promise<Checked> {
  const made = await makeRequests(check, gate.dataset, 1);
  const look = (model: LoadedModel) => watch(model, made.bodies, gate.requests, check.signal);
  const mine = await look(check.candidate);
  const theirs =
    gate.maxRatio === undefined ? undefined : await withChampion(check, async (champion) => champion && look(champion));
  const evidence = { candidate: mine ?? null, serving: theirs ?? null, requests: gate.requests, ...made.evidence };
  if (!mine || (gate.maxRatio !== undefined && check.input.serving && !theirs)) {
    const whose = mine ? 'what serves now' : 'the candidate';
    const reason = `the memory of ${whose} cannot be seen: its server is no process of this machine, or the system does not tell`;
    return { outcome: { passed: false, reason }, evidence };
  }
  const limits = { max: gate.maxMb, maxRatio: gate.maxRatio };
  return { outcome: judgeMost('memory', 'MiB', limits, mine.mostMb, theirs?.mostMb), evidence };
}

async function watch(
  model: LoadedModel,
  bodies: readonly Buffer[],
  requests: number,
  signal: AbortSignal,
): Promise<Seen | undefined> {
  const loaded = await model.memoryBytes();
  if (loaded === undefined) return undefined;
  let most = loaded;
  for (let request = 1; request <= requests; request++) {
    signal.throwIfAborted();
    await requestRows(model.forward, bodies[request % bodies.length] as Buffer);
    if (request % LOOK_EVERY === 0 || request === requests) most = Math.max(most, (await model.memoryBytes()) ?? 0);
  }
  return { loadedMb: loaded / MB, mostMb: most / MB };
}
