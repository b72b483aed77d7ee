/** What a small unary call costs on our HTTP/2, beside Node's HTTP/2 and Node's HTTP/1.1 doing the same. */
import { execFile, spawn, spawnSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Benchmark, BenchmarkResult } from '../benchmark.js';
import type { Cleanup } from '../support/cleanup.js';
import { median } from '../support/numbers.js';
import { cpuSeconds } from '../support/proc.js';
import { SERVERS, serve } from './servers.js';

const MESSAGE_BYTES = 288;
/** Connections, and calls at once on each. */
const LOADS = [
  [32, 1],
  [1, 32],
] as const;
const AIM_CPU_PER_1000 = 0.014;

interface Running {
  readonly name: string;
  readonly port: number;
  readonly pid: number;
}

interface Sample {
  readonly perSecond: number;
  /** Processor seconds of a thousand calls. */
  readonly cpu: number;
}

/** `--rounds N` (5), `--seconds N` (3). */
export const grpcWire: Benchmark = {
  name: 'grpc-wire',
  summary: 'a unary gRPC echo on our HTTP/2, against node:http2 and node:http',
  async run({ args, cleanup }) {
    if (args[0] === 'serve') return serve(args[1] ?? '');
    if (spawnSync('h2load', ['--version']).error) {
      return { tables: [], notes: [], notRun: ['h2load is not installed (Debian: nghttp2-client)'] };
    }
    const rounds = option(args, '--rounds', 5);
    const seconds = option(args, '--seconds', 3);
    const folder = await mkdtemp(join(tmpdir(), 'sluice-bench-'));
    cleanup.add(() => rm(folder, { recursive: true, force: true }));
    const body = join(folder, 'message');
    await writeFile(body, Buffer.concat([Buffer.of(0, 0, 0, 1, 32), Buffer.alloc(MESSAGE_BYTES, 'a')]));
    const running: Running[] = [];
    for (const name of Object.keys(SERVERS)) running.push(await start(name, cleanup));
    const samples = new Map<string, Sample[]>();
    // the first round warms up
    for (let round = -1; round < rounds; round++) {
      for (const [connections, streams] of LOADS) {
        for (const server of running) {
          const sample = await measure(server, { body, connections, streams, seconds });
          const key = `${server.name}/${connections}`;
          if (round >= 0) samples.set(key, [...(samples.get(key) ?? []), sample]);
        }
      }
    }
    return resultOf(samples, { rounds, seconds });
  },
};

function resultOf(
  samples: ReadonlyMap<string, readonly Sample[]>,
  { rounds, seconds }: { rounds: number; seconds: number },
): BenchmarkResult {
  const of = (name: string, connections: number, what: keyof Sample) =>
    median((samples.get(`${name}/${connections}`) ?? []).map((sample) => sample[what]));
  const rows = LOADS.flatMap(([connections, streams]) =>
    Object.keys(SERVERS).map((name) => [
      `${name}, ${connections} × ${streams}`,
      of(name, connections, 'perSecond').toFixed(0),
      of(name, connections, 'cpu').toFixed(4),
      (of('node:http2', connections, 'cpu') / of(name, connections, 'cpu')).toFixed(2),
    ]),
  );
  const cpu = of('sluice', 32, 'cpu');
  const columns = ['what, connections × calls at once', 'calls/s', 'CPU s per 1,000', 'calls per CPU s to node:http2'];
  return {
    tables: [{ title: `Unary echo of ${MESSAGE_BYTES} bytes`, columns, rows }],
    notes: [
      `medians of ${rounds} rounds of ${seconds} s each, taken in turns; load by h2load; servers pinned to one core`,
      'HTTP/1.1 has no calls at once on a connection: its 1 × 32 are one after the other',
      `aim: at most ${AIM_CPU_PER_1000} CPU s per 1,000 at 32 × 1; it is ${cpu.toFixed(4)}: ${cpu <= AIM_CPU_PER_1000 ? 'met' : 'MISSED'}`,
    ],
    notRun: [],
  };
}

/** A server in a process of its own, on the first core: this program once more. */
async function start(name: string, cleanup: Cleanup): Promise<Running> {
  const program = process.argv[1] ?? '';
  const child = spawn('taskset', ['-c', '0', process.execPath, program, grpcWire.name, 'serve', name], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  cleanup.add(async () => void child.kill('SIGKILL'));
  const port = await new Promise<number>((resolve, reject) => {
    child.stdout.once('data', (line: Buffer) => resolve(Number(line.toString())));
    child.once('error', reject);
    child.once('exit', () => reject(new Error(`the server "${name}" ended`)));
  });
  return { name, port, pid: child.pid ?? 0 };
}

async function measure(
  { name, port, pid }: Running,
  { body, connections, streams, seconds }: { body: string; connections: number; streams: number; seconds: number },
): Promise<Sample> {
  const before = cpuSeconds([pid]);
  const load = ['h2load', '-D', String(seconds), `-c${connections}`, '-d', body];
  const how =
    name === 'node:http' ? ['--h1'] : [`-m${streams}`, '-H', 'content-type: application/grpc', '-H', 'te: trailers'];
  const command = [...load, ...how, `http://127.0.0.1:${port}/inference.GRPCInferenceService/ModelInfer`];
  const core = String(cpus().length > 1 ? 1 : 0);
  const { stdout } = await promisify(execFile)('taskset', ['-c', core, ...command]);
  const used = cpuSeconds([pid]) - before;
  const calls = Number(/(\d+) succeeded/.exec(stdout)?.[1] ?? 0);
  if (!stdout.includes(' 0 failed, 0 errored') || calls === 0) throw new Error(`h2load of ${name}: ${stdout}`);
  return { perSecond: calls / seconds, cpu: (used / calls) * 1000 };
}

function option(args: readonly string[], name: string, otherwise: number): number {
  const at = args.indexOf(name);
  return at === -1 ? otherwise : Number(args[at + 1]);
}
