/** What a prediction costs through gateway, framed hop and model server, beside the least that could answer it. */
import { execFile, spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { startGatewayProcess } from '../../tests/support/gateway-process.js';
import type { Benchmark, BenchmarkResult } from '../benchmark.js';
import { mlp } from '../support/mlp.js';
import { median, spread } from '../support/numbers.js';
import { busySeconds, cpuSeconds, family } from '../support/proc.js';
import { type LoadGenerator, openLoadGenerator } from './load.js';

const CONNECTIONS = [1, 32, 256];
const FLOOR = resolve('bench', 'hop', 'floor.mjs');
const AIM = 0.5;

interface Contender {
  readonly name: string;
  readonly url: string;
  /** All processes that work for it. */
  pids(): number[];
}

interface Sample {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly cpuPer1000: number;
  readonly errors: number;
  /** Work of others, in cores. */
  readonly foreign: number;
}

/** `--rounds N` (5), `--seconds N` (3) and `--no-pin`. */
export const hop: Benchmark = {
  name: 'hop',
  summary: 'predictions through gateway and model server, against a bare server, bare inference and a bare echo',
  async run({ args }) {
    const rounds = option(args, '--rounds', 5);
    const seconds = option(args, '--seconds', 3);
    const core = args.includes('--no-pin') ? undefined : 0;
    const folder = await mkdtemp(join(tmpdir(), 'sluice-bench-'));
    const stops: (() => Promise<void>)[] = [() => rm(folder, { recursive: true, force: true })];
    try {
      const model = join(folder, 'digits.onnx');
      await writeFile(model, mlp([64]));
      const gateway = await startGatewayProcess({ core });
      stops.push(gateway.stop);
      const version = await gateway.upload('digits', mlp([64]));
      const scaling = { minReplicas: 1, maxReplicas: 1, concurrency: 256 };
      await gateway.serve('digits', 'digits', version, { scaling });
      const predict = '/v2/models/digits/infer';
      const server = await startFloor(['server', model, '0'], core);
      const echo = await startFloor(['echo', '0'], core);
      stops.push(server.stop, echo.stop);
      const contenders: Contender[] = [
        { name: 'bare server', url: `${server.url}${predict}`, pids: () => [server.pid] },
        { name: 'sluice', url: `${gateway.url}${predict}`, pids: () => family(gateway.pid) },
        { name: 'bare echo', url: `${echo.url}/`, pids: () => [echo.pid] },
      ];
      const load = await openLoadGenerator(folder, requestBody());
      const setting: Setting = { rounds, seconds, core, key: gateway.key };
      return await measure(contenders, load, setting, model);
    } finally {
      for (const stop of stops.reverse()) await stop();
    }
  },
};

interface Setting {
  readonly rounds: number;
  readonly seconds: number;
  readonly core: number | undefined;
  readonly key: string;
}

async function measure(
  contenders: readonly Contender[],
  load: LoadGenerator,
  setting: Setting,
  model: string,
): Promise<BenchmarkResult> {
  const samples = new Map<string, Sample[]>();
  const direct: { perSecond: number; cpuPer1000: number }[] = [];
  for (const contender of contenders) await take(contender, load, { ...setting, seconds: 2 }, 32);
  for (let round = 0; round < setting.rounds; round++) {
    for (const connections of CONNECTIONS) {
      // A B C A B C …: what else runs on the machine meets all of them alike
      for (const contender of contenders) {
        const key = `${contender.name}/${connections}`;
        samples.set(key, [...(samples.get(key) ?? []), await take(contender, load, setting, connections)]);
      }
    }
    direct.push(await takeDirect(model, setting));
    process.stderr.write(`round ${round + 1} of ${setting.rounds}\n`);
  }
  const of = (name: string, connections: number) => samples.get(`${name}/${connections}`) ?? [];
  const middle = (name: string, connections: number, what: keyof Sample) =>
    median(of(name, connections).map((sample) => sample[what]));
  const rows = CONNECTIONS.flatMap((connections) =>
    contenders.map(({ name }) => {
      const cpu = middle(name, connections, 'cpuPer1000');
      const floor = middle('bare server', connections, 'cpuPer1000');
      const rate = middle(name, connections, 'perSecond');
      return [
        `${name}, ${connections}`,
        rate.toFixed(0),
        spread(of(name, connections).map((sample) => sample.perSecond)).toFixed(0),
        middle(name, connections, 'p50Ms').toFixed(2),
        middle(name, connections, 'p99Ms').toFixed(2),
        cpu.toFixed(4),
        (rate / middle('bare server', connections, 'perSecond')).toFixed(2),
        (floor / cpu).toFixed(2),
        middle(name, connections, 'foreign').toFixed(2),
        String(of(name, connections).reduce((sum, sample) => sum + sample.errors, 0)),
      ];
    }),
  );
  const directCpu = median(direct.map((sample) => sample.cpuPer1000));
  const directRate = median(direct.map((sample) => sample.perSecond));
  rows.push(['inference without HTTP', directRate.toFixed(0), '', '', '', directCpu.toFixed(4), '', '', '', '0']);
  const ratios = CONNECTIONS.map(
    (connections) => middle('bare server', connections, 'cpuPer1000') / middle('sluice', connections, 'cpuPer1000'),
  );
  return {
    tables: [
      {
        title: 'Predictions of one row (64 numbers as JSON)',
        columns: [
          'what, connections',
          'req/s',
          'spread %',
          'p50 ms',
          'p99 ms',
          'CPU s per 1,000',
          'req/s to bare server',
          'req per CPU s to bare server',
          'foreign cores',
          'errors',
        ],
        rows,
      },
    ],
    notes: [
      `medians of ${setting.rounds} rounds of ${setting.seconds} s each, taken in turns; load by ${load.name}${setting.core === undefined ? '; nothing pinned' : `; everything, load included, pinned to core ${setting.core}`}`,
      'sluice is the gateway with all its children (one model server and an idle spare): routing, key check, limits, statistics and metrics on',
      `aim: at least ${AIM} of the bare server's throughput per CPU second; it is ${ratios.map((ratio, at) => `${ratio.toFixed(2)} at ${CONNECTIONS[at]}`).join(', ')}: ${ratios.every((ratio) => ratio >= AIM) ? 'met' : 'MISSED'}`,
    ],
  };
}

async function take(contender: Contender, load: LoadGenerator, setting: Setting, connections: number): Promise<Sample> {
  const pids = contender.pids();
  const before = { cpu: cpuSeconds(pids), busy: busySeconds(setting.core), at: performance.now() };
  const report = await load.run({ url: contender.url, connections, ...setting });
  const cpu = cpuSeconds(pids) - before.cpu;
  const foreign = busySeconds(setting.core) - before.busy - cpu - report.cpuSeconds;
  const { perSecond, p50Ms, p99Ms, errors } = report;
  const seconds = (performance.now() - before.at) / 1000;
  return {
    perSecond,
    p50Ms,
    p99Ms,
    errors,
    cpuPer1000: (cpu / report.requests) * 1000,
    foreign: Math.max(0, foreign / seconds),
  };
}

async function takeDirect(model: string, setting: Setting): Promise<{ perSecond: number; cpuPer1000: number }> {
  const [command = '', ...args] = pinned(
    [process.execPath, FLOOR, 'direct', model, String(setting.seconds)],
    setting.core,
  );
  const { stdout } = await promisify(execFile)(command, args);
  const {
    requests,
    seconds,
    cpuSeconds: cpu,
  } = JSON.parse(stdout) as { requests: number; seconds: number; cpuSeconds: number };
  return { perSecond: requests / seconds, cpuPer1000: (cpu / requests) * 1000 };
}

async function startFloor(args: readonly string[], core: number | undefined) {
  const [command = '', ...rest] = pinned([process.execPath, FLOOR, ...args], core);
  const child = spawn(command, rest, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  const port = await new Promise<number>((ready, reject) => {
    child.once('message', (message: { port: number }) => ready(message.port));
    child.once('exit', (code) => reject(new Error(`floor.mjs ended with ${code}`)));
  });
  const exited = new Promise((done) => child.once('exit', done));
  const stop = async () => {
    child.kill();
    await exited;
  };
  return { url: `http://127.0.0.1:${port}`, pid: child.pid ?? 0, stop };
}

function pinned(command: readonly string[], core: number | undefined): readonly string[] {
  return core === undefined ? command : ['taskset', '-c', String(core), ...command];
}

function requestBody(): string {
  const data = Array.from({ length: 64 }, (_, at) => ((at * 7) % 17) + 0.25);
  return JSON.stringify({ inputs: [{ name: 'X', shape: [1, 64], datatype: 'FP32', data }] });
}

function option(args: readonly string[], name: string, fallback: number): number {
  const at = args.indexOf(name);
  return at === -1 ? fallback : Number(args[at + 1]);
}
