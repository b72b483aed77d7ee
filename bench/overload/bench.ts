/** Twice as many requests as can be served: what the admitted ones still get, and how the others are refused. */
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startGatewayProcess } from '../../tests/support/gateway-process.js';
import type { Benchmark, BenchmarkResult } from '../benchmark.js';
import { serveTarget } from '../support/endpoint.js';
import { temporaryFolder } from '../support/folder.js';
import { openHttpLoad, writeRequests } from '../support/load/load.js';
import { deepMlp } from '../support/mlp.js';
import { median } from '../support/numbers.js';
import { positive } from '../support/options.js';
import { httpPrediction, variants } from '../support/predictions.js';
import { takeSample } from '../support/sample.js';
import { type OpenLoopReport, runOpenLoop } from './open-loop.js';

const AIM = 3;
const TIMES_CAPACITY = 2;
/** A share of the capacity at which requests hardly ever meet. */
const UNLOADED = 0.05;
const WARM_UP_SEC = 2;
/** One request at work and one that waits: nobody who is admitted waits longer than about one inference. */
const LIMITS = { concurrency: 1, queue: 1 };

/** One round: what one request alone takes, what can be served, and what comes of more than that. */
interface Round {
  readonly unloaded: OpenLoopReport;
  readonly capacity: number;
  readonly overloaded: OpenLoopReport;
}

/** `--rounds N` (5), `--seconds N` (4). */
export const overload: Benchmark = {
  name: 'overload',
  summary: `open-loop load at ${TIMES_CAPACITY} times the capacity: latency of the admitted, answers to the refused, against no load`,
  async run({ args, cleanup }) {
    const { values } = parseArgs({
      args,
      options: { rounds: { type: 'string', default: '5' }, seconds: { type: 'string', default: '4' } },
    });
    const [count, seconds] = [positive('rounds', values.rounds), positive('seconds', values.seconds)];
    const folder = await temporaryFolder(cleanup);
    const env = { SLUICE_QUEUE_LIMIT: String(LIMITS.queue) };
    const gateway = await startGatewayProcess({ parentFolder: folder, env });
    cleanup.add(gateway.stop);
    const version = { model: 'deep', number: await gateway.upload('deep', deepMlp()) };
    const target = await serveTarget(gateway, 'deep', version, { concurrency: LIMITS.concurrency });
    const requests = variants(1, (rows) => httpPrediction('json', rows));
    const closed = await openHttpLoad(join(folder, 'closed'), requests);
    const open = await writeRequests(join(folder, 'open'), requests);

    const full = { connections: LIMITS.concurrency + LIMITS.queue, core: undefined };
    const warm = await takeSample(target, closed, { ...full, seconds: WARM_UP_SEC });
    const at = (perSecond: number) => runOpenLoop({ ...target, perSecond, seconds }, open);
    const rounds: Round[] = [];
    for (let round = 1; round <= count; round++) {
      const unloaded = await at(UNLOADED * warm.perSecond);
      const { perSecond: capacity } = await takeSample(target, closed, { ...full, seconds });
      rounds.push({ unloaded, capacity, overloaded: await at(TIMES_CAPACITY * capacity) });
      process.stderr.write(`round ${round} of ${count}\n`);
    }
    return report(rounds, `${count} rounds of ${seconds} s for each part; capacity by ${closed.name}`);
  },
};

function report(rounds: readonly Round[], how: string): BenchmarkResult {
  const of = (figure: (round: Round) => number | null) => median(rounds.map((round) => figure(round) ?? Number.NaN));
  const sum = (figure: (round: Round) => number) => rounds.reduce((total, round) => total + figure(round), 0);
  const row = (name: string, part: 'unloaded' | 'overloaded') => [
    name,
    String(sum((round) => round[part].sent)),
    String(sum((round) => round[part].admitted.count)),
    of((round) => round[part].admitted.p50Ms).toFixed(2),
    of((round) => round[part].admitted.p99Ms).toFixed(2),
    String(sum((round) => round[part].refused.count)),
    part === 'unloaded' ? '' : of((round) => round[part].refused.p99Ms).toFixed(2),
    of((round) => round[part].lateP99Ms).toFixed(2),
  ];
  const ratio = of((round) => round.overloaded.admitted.p99Ms) / of((round) => round.unloaded.admitted.p99Ms);
  const others = new Map<string, number>();
  for (const { unloaded, overloaded } of rounds) {
    for (const [status, times] of [unloaded, overloaded].flatMap((part) => Object.entries(part.others)))
      others.set(status, (others.get(status) ?? 0) + times);
  }
  const strange = [...others].map(([status, times]) => `${times} times ${status}`).join(', ');
  const silent = sum((round) => round.overloaded.refused.withoutRetryAfter);
  const refused = sum((round) => round.overloaded.refused.count);
  const clean = strange === '' && silent === 0 && refused > 0;
  return {
    tables: [
      {
        title: 'Predictions of one row that arrive at random',
        columns: [
          'load',
          'sent',
          'answered 200',
          'p50 ms',
          'p99 ms',
          'answered 429',
          'their p99 ms',
          'sent late, p99 ms',
        ],
        rows: [
          row(`${UNLOADED} of the capacity`, 'unloaded'),
          row(`${TIMES_CAPACITY} times the capacity`, 'overloaded'),
        ],
      },
    ],
    notes: [
      `aim: p99 of the admitted at most ${AIM} times that without load; it is ${ratio.toFixed(2)}: ${ratio <= AIM ? 'met' : 'MISSED'}`,
      `aim: all others answered 429 with Retry-After; ${refused} were, ${silent} of them without it, and ${strange || 'nothing'} otherwise: ${clean ? 'met' : 'MISSED'}`,
      `capacity: ${of(({ capacity }) => capacity).toFixed(0)} requests a second, by closed-loop load that keeps every place taken`,
      `one replica that handles ${LIMITS.concurrency} request at once, a queue of ${LIMITS.queue} (SLUICE_QUEUE_LIMIT); medians of ${how}; nothing pinned`,
    ],
    notRun: [],
  };
}
