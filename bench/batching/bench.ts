/** What dynamic batching brings to a model that gains from batches. */
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import ort from 'onnxruntime-node';
import { messageOf } from '../../src/errors.js';
import { startGatewayProcess } from '../../tests/support/gateway-process.js';
import type { Benchmark, BenchmarkResult } from '../benchmark.js';
import { serveTarget } from '../support/endpoint.js';
import { temporaryFolder } from '../support/folder.js';
import { openHttpLoad } from '../support/load/load.js';
import { deepMlp } from '../support/mlp.js';
import { median, spread } from '../support/numbers.js';
import { positive } from '../support/options.js';
import { httpPrediction, rowsOf, variants } from '../support/predictions.js';
import { errorsOf, middle, type Sample, type Target, takeSample } from '../support/sample.js';

const CONNECTIONS = 64;
const AIM = 4;
const WARM_UP_SEC = 2;
/** One row at a time. */
const OFF = { batching: { maxRows: 1 } };

/** `--rounds N` (5), `--seconds N` (3). */
export const batching: Benchmark = {
  name: 'batching',
  summary: `a model that gains from batches, at ${CONNECTIONS} connections: with dynamic batching against without`,
  async run({ args, cleanup }) {
    const { values } = parseArgs({
      args,
      options: { rounds: { type: 'string', default: '5' }, seconds: { type: 'string', default: '3' } },
    });
    const [rounds, seconds] = [positive('rounds', values.rounds), positive('seconds', values.seconds)];
    const folder = await temporaryFolder(cleanup);
    const bytes = deepMlp();
    const gateway = await startGatewayProcess({ parentFolder: folder });
    cleanup.add(gateway.stop);
    const version = { model: 'deep', number: await gateway.upload('deep', bytes) };
    const on = await serveTarget(gateway, 'on', version, { scaling: { concurrency: CONNECTIONS } });
    let off: Target;
    try {
      off = await serveTarget(gateway, 'off', version, { scaling: { concurrency: CONNECTIONS }, runtime: OFF });
    } catch (error) {
      const why = `the gateway refuses an endpoint with batching off: ${messageOf(error)}`;
      return { tables: [], notes: [], notRun: [`batching against none: ${why}`] };
    }
    const load = await openHttpLoad(
      join(folder, 'requests'),
      variants(1, (rows) => httpPrediction('json', rows)),
    );
    const taken = { on: [] as Sample[], off: [] as Sample[] };
    const how = { connections: CONNECTIONS, core: undefined };
    for (const target of [on, off]) await takeSample(target, load, { ...how, seconds: WARM_UP_SEC });
    for (let round = 0; round < rounds; round++) {
      taken.on.push(await takeSample(on, load, { ...how, seconds }));
      taken.off.push(await takeSample(off, load, { ...how, seconds }));
      process.stderr.write(`round ${round + 1} of ${rounds}\n`);
    }
    return report(taken, await gainOfModel(bytes), `${rounds} rounds of ${seconds} s each, load by ${load.name}`);
  },
};

interface Gain {
  readonly oneMs: number;
  readonly batchMs: number;
}

const BATCH = 32;

/** What the model itself takes in this process: the bound of what batching can bring. */
async function gainOfModel(bytes: Buffer): Promise<Gain> {
  const session = await ort.InferenceSession.create(bytes, { intraOpNumThreads: 1, interOpNumThreads: 1 });
  const time = async (rows: number) => {
    const input = new ort.Tensor('float32', Float32Array.from(rowsOf(rows).flat()), [rows, 64]);
    const took: number[] = [];
    for (let at = 0; at < 100; at++) {
      const began = performance.now();
      await session.run({ X: input });
      took.push(performance.now() - began);
    }
    return median(took);
  };
  const gain = { oneMs: await time(1), batchMs: await time(BATCH) };
  await session.release();
  return gain;
}

function report(taken: Record<'on' | 'off', readonly Sample[]>, gain: Gain, how: string): BenchmarkResult {
  const row = (name: string, samples: readonly Sample[]) => [
    name,
    middle(samples, 'perSecond').toFixed(0),
    spread(samples.map((sample) => sample.perSecond)).toFixed(0),
    middle(samples, 'p50Ms').toFixed(2),
    middle(samples, 'p99Ms').toFixed(2),
    middle(samples, 'cpuPer1000').toFixed(4),
    middle(samples, 'foreign').toFixed(2),
    String(errorsOf(samples)),
  ];
  const ratio = middle(taken.on, 'perSecond') / middle(taken.off, 'perSecond');
  return {
    tables: [
      {
        title: `Predictions of one row at ${CONNECTIONS} connections`,
        columns: ['batching', 'req/s', 'spread %', 'p50 ms', 'p99 ms', 'CPU s per 1,000', 'foreign cores', 'errors'],
        rows: [row('as it comes', taken.on), row('maxRows: 1', taken.off)],
      },
    ],
    notes: [
      `aim: at least ${AIM} times the throughput with batching; it is ${ratio.toFixed(2)}: ${ratio >= AIM ? 'met' : 'MISSED'}`,
      `the model alone takes ${gain.oneMs.toFixed(2)} ms for one row and ${gain.batchMs.toFixed(2)} ms for ${BATCH}: at most ${((BATCH * gain.oneMs) / gain.batchMs).toFixed(1)} times as many rows`,
      `medians of ${how}; the two endpoints of one gateway in turns, nothing pinned`,
    ],
    notRun: [],
  };
}
