/** From no replica to an answer: what a cold start takes and where the time goes, beside the model's own load. */
import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs, promisify } from 'node:util';
import ort from 'onnxruntime-node';
import { ask } from '../../src/core/inference/forward.js';
import { createLog } from '../../src/log.js';
import { program } from '../../src/main/paths.js';
import { launchRuntime, type RuntimeProcess } from '../../src/platform/fleet/runtime-process.js';
import { startGatewayProcess } from '../../tests/support/gateway-process.js';
import type { Benchmark, Table } from '../benchmark.js';
import { temporaryFolder } from '../support/folder.js';
import { mlp } from '../support/mlp.js';
import { median } from '../support/numbers.js';
import { positive } from '../support/options.js';
import { busySeconds } from '../support/proc.js';
import { EndToEnd } from './end-to-end.js';

const MODELS = [
  { name: '20 KB', bytes: mlp([64]) },
  { name: '3 MB', bytes: mlp([832, 832]) },
  { name: '10 MB', bytes: mlp([1536, 1536]) },
] as const;
const SPARE_AIM_MS = 10;
const BARE_AIM_MS = 200;

/** Milliseconds by what was measured. */
type Samples = Map<string, number[]>;

/** `--times N` (15). */
export const coldStart: Benchmark = {
  name: 'cold-start',
  summary: "first request to answer from no replica, with and without a spare, against the model's own load",
  async run({ args, cleanup }) {
    const { values } = parseArgs({ args, options: { times: { type: 'string', default: '15' } } });
    const times = positive('times', values.times);
    const folder = await temporaryFolder(cleanup);
    const gateways = {
      spare: await startGatewayProcess({ parentFolder: folder }),
      bare: await startGatewayProcess({ parentFolder: folder, env: { SLUICE_SPARES: '0' } }),
    };
    for (const gateway of Object.values(gateways)) cleanup.add(gateway.stop);
    const before = { busy: busySeconds(), at: performance.now() };
    const rows: string[][] = [];
    const parts: string[][] = [];
    const verdicts: string[] = [];
    // the library and its first session are paid for before anything is timed
    await (await ort.InferenceSession.create(MODELS[0].bytes)).release();
    for (const { name, bytes } of MODELS) {
      const path = join(folder, `${name.replace(' ', '-')}.onnx`);
      await writeFile(path, bytes);
      const [spare, bare] = [new EndToEnd(gateways.spare), new EndToEnd(gateways.bare)];
      await spare.prepare(bytes, times);
      await bare.prepare(bytes, times);
      const samples: Samples = new Map();
      for (let round = 0; round < times; round++) {
        add(samples, 'own load', await ownLoad(path));
        add(samples, 'bare node', await bareNode());
        await splitOnce(path, join(folder, `${round}.sock`), samples);
        add(samples, 'with a spare', await spare.coldRequest(round));
        add(samples, 'without', await bare.coldRequest(round));
        add(samples, 'warm request', await spare.request(round));
        await Promise.all([spare.remove(round), bare.remove(round)]);
      }
      const of = (what: string) => samples.get(what) ?? [];
      const row = (what: string) => [`${median(of(what)).toFixed(1)}`, `${Math.max(...of(what)).toFixed(1)}`];
      const over = median(of('with a spare')) - median(of('own load'));
      rows.push([
        name,
        ...row('own load'),
        ...row('with a spare'),
        over.toFixed(1),
        ...row('without'),
        ...row('warm request'),
      ]);
      parts.push([
        name,
        ...['bare node', 'process start', 'library', 'load', 'first inference', 'second inference'].flatMap(row),
      ]);
      verdicts.push(
        `${name}: with a spare the model's own load + ${over.toFixed(1)} ms (aim + ${SPARE_AIM_MS}): ${over <= SPARE_AIM_MS ? 'met' : 'MISSED'}; ` +
          `without ${median(of('without')).toFixed(0)} ms (aim ${BARE_AIM_MS}): ${median(of('without')) <= BARE_AIM_MS ? 'met' : 'MISSED'}`,
      );
      process.stderr.write(`${name} done\n`);
    }
    const busy = (busySeconds() - before.busy) / ((performance.now() - before.at) / 1000);
    return {
      tables: [total(rows), split(parts)],
      notes: [
        ...NOTES,
        `cores busy on the whole machine meanwhile, own work included: ${busy.toFixed(2)}`,
        `${times} times each, medians against the aims`,
        ...verdicts,
      ],
      notRun: [],
    };
  },
};

const NOTES = [
  "end to end over HTTP through the real gateway: each sample is the first request of an endpoint of its own that has no replica, so the way is a cold start's whole way, its artifact lying on the machine",
  'own load: InferenceSession.create of the same file in a warm process, taken in turns with the others',
  'parts: a model server started directly, without the gateway; "library" is what a spare does before it counts as warm; "bare node" is `node -e 0`, which no start can beat',
];

function total(rows: string[][]): Table {
  const what = ['own load', 'with a spare'].flatMap((name) => [`${name}, ms`, 'max']);
  return {
    title: 'Request to answer from no replica',
    columns: ['model', ...what, 'over own load', 'without spare, ms', 'max', 'warm request, ms', 'max'],
    rows,
  };
}

function split(rows: string[][]): Table {
  const what = ['bare node', 'process start', 'library', 'load', 'first inference', 'second'].flatMap((name) => [
    `${name}, ms`,
    'max',
  ]);
  return { title: 'Its parts', columns: ['model', ...what], rows };
}

function add(samples: Samples, what: string, ms: number): void {
  samples.set(what, [...(samples.get(what) ?? []), ms]);
}

async function ownLoad(path: string): Promise<number> {
  const began = performance.now();
  const session = await ort.InferenceSession.create(path, { intraOpNumThreads: 1, interOpNumThreads: 1 });
  const took = performance.now() - began;
  await session.release();
  return took;
}

/** What any Node program takes to start and end: how busy the machine is, more than anything else. */
async function bareNode(): Promise<number> {
  const began = performance.now();
  await promisify(execFile)(process.execPath, ['-e', '0']);
  return performance.now() - began;
}

/** One model server from its spawn to its second answer, each part awaited before the next. */
async function splitOnce(path: string, socket: string, samples: Samples): Promise<void> {
  const log = createLog({ level: 'error', format: 'text' });
  let runtime: RuntimeProcess | undefined;
  const timed = async <T>(what: string, work: () => Promise<T>): Promise<T> => {
    const began = performance.now();
    const value = await work();
    add(samples, what, performance.now() - began);
    return value;
  };
  const launch = {
    script: program('runtime'),
    socket,
    maxBodyBytes: 2 ** 20,
    drainMs: 1000,
    startTimeoutMs: 30_000,
    env: {},
    log,
  };
  try {
    const started = await timed('process start', () => launchRuntime(launch));
    runtime = started;
    await timed('library', () => started.warm);
    await timed('load', () => started.load({ name: 'm', version: '1', path, framework: 'onnx', options: {} }));
    const call = {
      method: 'POST',
      path: '/v2/models/m/infer',
      headers: { 'content-type': 'application/json' },
      body: EndToEnd.body,
    };
    await timed('first inference', () => ask(started.forward, call).reply);
    await timed('second inference', () => ask(started.forward, call).reply);
  } finally {
    runtime?.kill();
    await runtime?.exited;
  }
}
