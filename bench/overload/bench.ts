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
import { type Sample, type Target, takeSample } from '../support/sample.js';
import { type OpenLoopReport, runOpenLoop } from './open-loop.js';

const AIM = 3;
const TIMES_CAPACITY = 2;
const WARM_UP_SEC = 2;
/** Nobody is to wait longer than about one inference. Everything else of the endpoint is as it comes. */
const MAX_QUEUE_DELAY_MS = 1;
/** Requests at once that keep the replica busy. */
const BUSY = 32;
/** Of the overload, before what is measured: a burst that passes is not refused, so the bound is found first. */
const SETTLE_SEC = 2;

/** One round: what a request alone takes, what can be served, and what comes of more than that. */
interface Round {
  /** One request at a time. */
  readonly unloaded: Sample;
  /** As many at once as the replica has a use for. */
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
    const gateway = await startGatewayProcess({ parentFolder: folder });
    cleanup.add(gateway.stop);
    const version = { model: 'deep', number: await gateway.upload('deep', deepMlp()) };
    // a model that gains from batches has no fixed capacity
    const runtime = { batching: { maxRows: 1 } };
    const target = await serveTarget(gateway, 'deep', version, {
      scaling: { maxQueueDelayMs: MAX_QUEUE_DELAY_MS },
      runtime,
    });
    // the capacity is that of a replica which refuses nobody
    const patient = await serveTarget(gateway, 'patient', version, { runtime });
    const requests = variants(1, (rows) => httpPrediction('json', rows));
    const closed = await openHttpLoad(join(folder, 'closed'), requests);
    const open = await writeRequests(join(folder, 'open'), requests);

    const closedLoop = (at: Target, connections: number, sec: number) =>
      takeSample(at, closed, { connections, seconds: sec, core: undefined });
    await closedLoop(patient, BUSY, WARM_UP_SEC);
    const rounds: Round[] = [];
    for (let round = 1; round <= count; round++) {
      const unloaded = await closedLoop(target, 1, seconds);
      const full = await closedLoop(patient, BUSY, seconds);
      const perSecond = TIMES_CAPACITY * full.perSecond;
      await runOpenLoop({ ...target, perSecond, seconds: SETTLE_SEC }, open);
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
          closedRow(`${BUSY} at once, nobody refused`, 'full'),
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
      `one replica, without batches, maxQueueDelayMs ${MAX_QUEUE_DELAY_MS}, which means the time of one request; medians of ${how}; nothing pinned`,
    ],
    notRun: [],
  };
}
