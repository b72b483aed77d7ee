/** The rounds: every peer is started by itself, checked, measured at all its cases, and ended; then comes the next one. */
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf } from '../../src/errors.js';
import type { Cleanup } from '../support/cleanup.js';
import type { LoadGenerator } from '../support/load/load.js';
import { post } from '../support/post.js';
import { type Form, grpcPrediction, httpPrediction, rowsOf, TRACE } from '../support/predictions.js';
import { type Memory, memoryOf } from '../support/proc.js';
import { type Sample, takeSample } from '../support/sample.js';
import { type Answer, differs, readAnswer } from './answer.js';
import { type Case, cellName, formFor } from './cases.js';
import { callModelInfer } from './grpc-call.js';
import type { InstalledPeer, Peer, RunningPeer } from './peer.js';

export type Cores = 'one' | 'two';

/** What the load of a case is and what must come of it. */
export interface PreparedCase {
  readonly case: Case;
  /** The right answer to its first request. */
  readonly expected: Answer;
  /** By the form of the requests; a string: why there is no such load here. */
  readonly loads: ReadonlyMap<Form, LoadGenerator | string>;
}

export interface Contender {
  readonly peer: Peer;
  readonly installed: InstalledPeer;
}

export interface Setting {
  readonly cores: Cores;
  readonly rounds: number;
  /** Of each sample. */
  readonly seconds: number;
  readonly folder: string;
  readonly model: string;
  readonly cleanup: Cleanup;
}

/** What was measured of one peer in one setting. */
export interface PeerFigures {
  readonly peer: Peer;
  readonly readyMs: number[];
  readonly memory: Memory[];
  /** By `cellName`. */
  readonly cells: Map<string, Sample[]>;
  /** What could not be measured of it, with the reasons. */
  readonly notRun: Set<string>;
}

/** Time in which a server's code gets warm, in seconds; other cases of the same server need less than its first. */
const WARM_UP_SEC = { first: 2, other: 1 };
const WARM_UP_CONNECTIONS = 32;

export async function measure(
  contenders: readonly Contender[],
  cases: readonly PreparedCase[],
  setting: Setting,
): Promise<PeerFigures[]> {
  const turns = contenders.map(({ peer, installed }) => ({ installed, own: noFigures(peer) }));
  for (let round = 1; round <= setting.rounds; round++) {
    for (const { installed, own } of turns) {
      // what failed at its first turn would fail again
      if (round > 1 && own.cells.size === 0) continue;
      setting.cleanup.throwIfOver();
      const began = performance.now();
      await measureOnce(own, installed, cases, setting).catch((error) => own.notRun.add(messageOf(error)));
      const took = ((performance.now() - began) / 1000).toFixed(0);
      process.stderr.write(`${setting.cores}, round ${round} of ${setting.rounds}: ${own.peer.name} ${took} s\n`);
    }
  }
  return turns.map(({ own }) => own);
}

function noFigures(peer: Peer): PeerFigures {
  return { peer, readyMs: [], memory: [], cells: new Map(), notRun: new Set() };
}

/** One start of one peer. */
async function measureOnce(
  figures: PeerFigures,
  installed: InstalledPeer,
  cases: readonly PreparedCase[],
  setting: Setting,
): Promise<void> {
  const { peer } = figures;
  const core = setting.cores === 'one' ? 0 : undefined;
  const folder = join(setting.folder, peer.name);
  await mkdir(folder);
  try {
    const running = await installed.start({ core, folder, model: setting.model, cleanup: setting.cleanup });
    try {
      figures.readyMs.push(running.readyMs);
      let warmUp = WARM_UP_SEC.first;
      for (const prepared of cases.filter(({ case: { name } }) => peer.cases.includes(name))) {
        const refusal = await measureCase(figures, running, prepared, { ...setting, core, warmUp });
        if (refusal !== undefined) figures.notRun.add(`${prepared.case.name}: ${refusal}`);
        else warmUp = WARM_UP_SEC.other;
      }
      figures.memory.push(memoryOf([...running.pids(), ...backendMemoryPids(peer, running)]));
    } finally {
      await running.stop();
    }
  } finally {
    await rm(folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** A proxy's memory is its own; a server's is that of all its parts. */
function backendMemoryPids(peer: Peer, running: RunningPeer): readonly number[] {
  return peer.kind === 'proxy' ? [] : (running.backendPids?.() ?? []);
}

/** Measures one case at all its numbers of connections; a string: why it cannot be measured. */
async function measureCase(
  { peer, cells }: PeerFigures,
  running: RunningPeer,
  { case: measured, expected, loads }: PreparedCase,
  setting: { readonly seconds: number; readonly core: number | undefined; readonly warmUp: number },
): Promise<string | undefined> {
  const form = formFor(peer, measured);
  const load = loads.get(form) ?? 'there is no load of this form';
  if (typeof load === 'string') return load;
  const url = form === 'grpc' ? running.grpcUrl : running.url;
  if (url === undefined) return 'it has no gRPC port';
  const target = { ...running, url, headers: { ...running.headers, ...TRACE } };
  if (!peer.echo) {
    const answer = await ask(target, form, measured.rows).catch(messageOf);
    const wrong = typeof answer === 'string' ? answer : differs(answer, expected);
    if (wrong !== undefined) return `its answer is wrong: ${wrong}`;
  }
  const { core, seconds, warmUp } = setting;
  await load.run({ ...target, connections: WARM_UP_CONNECTIONS, seconds: warmUp, core });
  for (const connections of measured.connections) {
    const sample = await takeSample(target, load, { connections, seconds, core });
    const name = cellName(measured.name, connections);
    cells.set(name, [...(cells.get(name) ?? []), sample]);
  }
  return undefined;
}

/** The server's answer to the first request of the load. */
async function ask(target: RunningPeer, form: Form, rows: number): Promise<Answer> {
  if (form === 'grpc') return callModelInfer(target.url, grpcPrediction(rowsOf(rows)), target.headers);
  return readAnswer(form, await post(target.url, httpPrediction(form, rowsOf(rows)), target.headers));
}
