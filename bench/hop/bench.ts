/** What a prediction costs through gateway, framed hop and model server, beside the least that could answer it. */
import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs, promisify } from 'node:util';
import { startGatewayProcess } from '../../tests/support/gateway-process.js';
import type { Benchmark, BenchmarkOptions, BenchmarkResult } from '../benchmark.js';
import { FLOOR, startFloorEcho, startFloorServer } from '../support/floors.js';
import { temporaryFolder } from '../support/folder.js';
import { type LoadGenerator, openHttpLoad } from '../support/load/load.js';
import { pinned } from '../support/load/timed.js';
import { mlp } from '../support/mlp.js';
import { median, spread } from '../support/numbers.js';
import { positive } from '../support/options.js';
import { httpPrediction, variants } from '../support/predictions.js';
import { family } from '../support/proc.js';
import { errorsOf, middle, type Sample, type Target, takeSample } from '../support/sample.js';

const CONNECTIONS = [1, 32, 256];
const AIM = 0.5;

interface Contender extends Target {
  readonly name: string;
}

/** `--rounds N` (5), `--seconds N` (3) and `--no-pin`. */
export const hop: Benchmark = {
  name: 'hop',
  summary: 'predictions through gateway and model server, against a bare server, bare inference and a bare echo',
  async run({ args, cleanup }: BenchmarkOptions) {
    const { values } = parseArgs({
      args,
      options: {
        rounds: { type: 'string', default: '5' },
        seconds: { type: 'string', default: '3' },
        'no-pin': { type: 'boolean', default: false },
      },
    });
    const core = values['no-pin'] ? undefined : 0;
    const folder = await temporaryFolder(cleanup);
    const model = join(folder, 'digits.onnx');
    await writeFile(model, mlp([64]));
    const gateway = await startGatewayProcess({ core, parentFolder: folder });
    cleanup.add(gateway.stop);
    const version = await gateway.upload('digits', mlp([64]));
    const scaling = { minReplicas: 1, maxReplicas: 1, concurrency: 256 };
    await gateway.serve('digits', 'digits', version, { scaling });
    const floor = { folder, core, cleanup };
    const [server, echo] = [await startFloorServer(model, 1, floor), await startFloorEcho(floor)];
    const contenders: Contender[] = [
      { name: 'bare server', url: server.urls[0] ?? '', headers: {}, pids: server.pids },
      {
        name: 'sluice',
        url: `${gateway.url}/v2/models/digits/infer`,
        headers: { authorization: `Bearer ${gateway.key}` },
        pids: () => family(gateway.pid),
      },
      { name: 'bare echo', url: echo.urls[0] ?? '', headers: {}, pids: echo.pids },
    ];
    const predictions = variants(1, (rows) => httpPrediction('json', rows));
    const load = await openHttpLoad(join(folder, 'requests'), predictions);
    const { rounds, seconds } = values;
    const setting = { rounds: positive('rounds', rounds), seconds: positive('seconds', seconds), core };
    return measure(contenders, load, setting, model);
  },
};

interface Setting {
  readonly rounds: number;
  readonly seconds: number;
  readonly core: number | undefined;
}

async function measure(
  contenders: readonly Contender[],
  load: LoadGenerator,
  setting: Setting,
  model: string,
): Promise<BenchmarkResult> {
  const samples = new Map<string, Sample[]>();
  const direct: { perSecond: number; cpuPer1000: number }[] = [];
  for (const contender of contenders) {
    await takeSample(contender, load, { ...setting, seconds: 2, connections: 32 });
  }
  for (let round = 0; round < setting.rounds; round++) {
    for (const connections of CONNECTIONS) {
      // A B C A B C …: what else runs on the machine meets all of them alike
      for (const contender of contenders) {
        const key = `${contender.name}/${connections}`;
        const sample = await takeSample(contender, load, { ...setting, connections });
        samples.set(key, [...(samples.get(key) ?? []), sample]);
      }
    }
    direct.push(await takeDirect(model, setting));
    process.stderr.write(`round ${round + 1} of ${setting.rounds}\n`);
  }
  const of = (name: string, connections: number) => samples.get(`${name}/${connections}`) ?? [];
  const figure = (name: string, connections: number, what: keyof Sample) => middle(of(name, connections), what);
  const rows = CONNECTIONS.flatMap((connections) =>
    contenders.map(({ name }) => {
      const cpu = figure(name, connections, 'cpuPer1000');
      const floor = figure('bare server', connections, 'cpuPer1000');
      const rate = figure(name, connections, 'perSecond');
      return [
        `${name}, ${connections}`,
        rate.toFixed(0),
        spread(of(name, connections).map((sample) => sample.perSecond)).toFixed(0),
        figure(name, connections, 'p50Ms').toFixed(2),
        figure(name, connections, 'p99Ms').toFixed(2),
        cpu.toFixed(4),
        (rate / figure('bare server', connections, 'perSecond')).toFixed(2),
        (floor / cpu).toFixed(2),
        figure(name, connections, 'foreign').toFixed(2),
        String(errorsOf(of(name, connections))),
      ];
    }),
  );
  const directCpu = median(direct.map((sample) => sample.cpuPer1000));
  const directRate = median(direct.map((sample) => sample.perSecond));
  rows.push(['inference without HTTP', directRate.toFixed(0), '', '', '', directCpu.toFixed(4), '', '', '', '0']);
  const ratios = CONNECTIONS.map(
    (connections) => figure('bare server', connections, 'cpuPer1000') / figure('sluice', connections, 'cpuPer1000'),
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
    notRun: [],
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
