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
import { type Sample, takeSample } from '../support/sample.js';
import { type OpenLoopReport, runOpenLoop } from './open-loop.js';

const AIM = 3;
const TIMES_CAPACITY = 2;
const WARM_UP_SEC = 2;
/** One request at work and one that waits: nobody who is admitted waits longer than about one inference. */
const LIMITS = { concurrency: 1, queue: 1 };

/** One round: what a request alone takes, what can be served, and what comes of more than that. */
interface Round {
  /** One request at a time. */
  readonly unloaded: Sample;
  /** Every place taken, at work and in the queue. */
  readonly full: Sample;
  readonly overloaded: OpenLoopReport;
}

/** `--rounds N` (5), `--seconds N` (4). */
export const overload: Benchmark = {
  name: 'overload',
  summary: `open-loop load at ${TIMES_CAPACITY} times the capacity: what the admitted and the refused get, against no load`,
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

    const places = LIMITS.concurrency + LIMITS.queue;
    const closedLoop = (connections: number, sec: number) =>
      takeSample(target, closed, { connections, seconds: sec, core: undefined });
    await closedLoop(places, WARM_UP_SEC);
    const rounds: Round[] = [];
    for (let round = 1; round <= count; round++) {
      const unloaded = await closedLoop(1, seconds);
      const full = await closedLoop(places, seconds);
      const perSecond = TIMES_CAPACITY * full.perSecond;
      rounds.push({ unloaded, full, overloaded: await runOpenLoop({ ...target, perSecond, seconds }, open) });
      process.stderr.write(`round ${round} of ${count}\n`);
    }
    return report(rounds, seconds, `${count} rounds of ${seconds} s for each part; closed-loop load by ${closed.name}`);
  },
};

function report(rounds: readonly Round[], seconds: number, how: string): BenchmarkResult {
  const of = (figure: (round: Round) => number | null) => median(rounds.map((round) => figure(round) ?? Number.NaN));
  const sum = (figure: (round: Round) => number) => rounds.reduce((total, round) => total + figure(round), 0);
  const closedRow = (name: string, part: 'unloaded' | 'full') => [
    name,
    of((round) => round[part].perSecond).toFixed(0),
    of((round) => round[part].perSecond).toFixed(0),
    of((round) => round[part].p50Ms).toFixed(2),
    of((round) => round[part].p99Ms).toFixed(2),
    '',
    '',
    '',
    of((round) => round[part].foreign).toFixed(2),
  ];
  const ratio = of(({ overloaded }) => overloaded.admitted.p99Ms) / of(({ unloaded }) => unloaded.p99Ms);
  const others = new Map<string, number>();
  for (const [status, times] of rounds.flatMap(({ overloaded }) => Object.entries(overloaded.others)))
    others.set(status, (others.get(status) ?? 0) + times);
  const strange = [...others].map(([status, times]) => `${times} times ${status}`).join(', ');
  const silent = sum((round) => round.overloaded.refused.withoutRetryAfter);
  const refused = sum((round) => round.overloaded.refused.count);
  const clean = strange === '' && silent === 0 && refused > 0;
  return {
    tables: [
      {
        title: 'Predictions of one row',
        columns: [
          'load',
          'sent/s',
          '200/s',
          'p50 ms',
          'p99 ms',
          '429/s',
          'their p99 ms',
          'sent late, p99 ms',
          'foreign cores',
        ],
        rows: [
          closedRow('one request at a time', 'unloaded'),
          closedRow('every place taken', 'full'),
          [
            `at random, ${TIMES_CAPACITY} times as many`,
            of(({ overloaded }) => overloaded.sent / seconds).toFixed(0),
            of(({ overloaded }) => overloaded.admitted.count / seconds).toFixed(0),
            of(({ overloaded }) => overloaded.admitted.p50Ms).toFixed(2),
            of(({ overloaded }) => overloaded.admitted.p99Ms).toFixed(2),
            of(({ overloaded }) => overloaded.refused.count / seconds).toFixed(0),
            of(({ overloaded }) => overloaded.refused.p99Ms).toFixed(2),
            of(({ overloaded }) => overloaded.lateP99Ms).toFixed(2),
            '',
          ],
        ],
      },
    ],
    notes: [
      `aim: p99 of the admitted at most ${AIM} times that without load; it is ${ratio.toFixed(2)}: ${ratio <= AIM ? 'met' : 'MISSED'}`,
      `aim: all others answered 429 with Retry-After; ${refused} were, ${silent} of them without it, and ${strange || 'nothing'} otherwise: ${clean ? 'met' : 'MISSED'}`,
      `one replica that handles ${LIMITS.concurrency} request at once, a queue of ${LIMITS.queue} (SLUICE_QUEUE_LIMIT); medians of ${how}; nothing pinned`,
    ],
    notRun: [],
  };
}
