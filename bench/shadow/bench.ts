/** What copies of all requests cost the requests: with a shadow that answers, one that is dead, and one that is slow. */
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { Shadow } from '../../src/cli/api-types.js';
import { type GatewayProcess, startGatewayProcess } from '../../tests/support/gateway-process.js';
import type { Benchmark, BenchmarkResult } from '../benchmark.js';
import { type OpenLoopReport, runOpenLoop } from '../overload/open-loop.js';
import type { Cleanup } from '../support/cleanup.js';
import { serveTarget } from '../support/endpoint.js';
import { temporaryFolder } from '../support/folder.js';
import { writeRequests } from '../support/load/load.js';
import { mlp } from '../support/mlp.js';
import { median } from '../support/numbers.js';
import { positive } from '../support/options.js';
import { httpPrediction, variants } from '../support/predictions.js';
import type { Target } from '../support/sample.js';
import { startSlowServer } from './slow-server.js';

/** Of the p99 with a shadow to that without. */
const AIM = 1.05;
const MODEL = 'digits';
const HIDDEN = [128, 64];
const SLOW_MS = 3000;
const WARM_UP_SEC = 2;

interface Case {
  readonly name: string;
  readonly endpoint: string;
  readonly target: Target;
}

/** `--rounds N` (5), `--seconds N` (5), `--rate N` (200). */
export const shadow: Benchmark = {
  name: 'shadow',
  summary: 'real requests at a fixed rate while all of them are copied to a shadow: healthy, dead, slow, against none',
  async run({ args, cleanup }) {
    const text = (value: string) => ({ type: 'string', default: value }) as const;
    const { values } = parseArgs({ args, options: { rounds: text('5'), seconds: text('5'), rate: text('200') } });
    const [rounds, seconds] = [positive('rounds', values.rounds), positive('seconds', values.seconds)];
    const perSecond = positive('rate', values.rate);
    const folder = await temporaryFolder(cleanup);
    const gateway = await startGatewayProcess({ parentFolder: folder, env: { SLUICE_LOG_LEVEL: 'silent' } });
    cleanup.add(gateway.stop);
    const cases = await serveCases(gateway, cleanup);
    const requests = await writeRequests(
      join(folder, 'requests'),
      variants(1, (rows) => httpPrediction('json', rows)),
    );
    for (const { target } of cases) await runOpenLoop({ ...target, perSecond, seconds: WARM_UP_SEC }, requests);
    const measured: Map<Case, OpenLoopReport>[] = [];
    for (let round = 0; round < rounds; round++) {
      const reports = new Map<Case, OpenLoopReport>();
      // each case goes first as often as any other, and comes behind different ones
      const turned = cases.map((_, at) => cases[(at + round) % cases.length] as Case);
      for (const one of round % 2 === 0 ? turned : turned.reverse()) {
        reports.set(one, await runOpenLoop({ ...one.target, perSecond, seconds }, requests));
      }
      measured.push(reports);
      process.stderr.write(`round ${round + 1} of ${rounds}\n`);
    }
    return report(cases, measured, await shadowsOf(gateway, cases), { rounds, seconds, perSecond });
  },
};

async function serveCases(gateway: GatewayProcess, cleanup: Cleanup): Promise<Case[]> {
  const number = await gateway.upload(MODEL, mlp(HIDDEN));
  const same = await gateway.upload(MODEL, mlp(HIDDEN));
  const external = async (url: string) => {
    const json = { files: [], server: { url, startTimeoutSec: 1 } };
    return (await gateway.client.post<{ version: number }>(`/api/v1/models/${MODEL}/versions`, { json })).body.version;
  };
  const slow = await startSlowServer(SLOW_MS);
  cleanup.add(slow.close);
  const gone = await startSlowServer(0);
  const dead = await external(gone.url);
  await gone.close();
  const shadows: readonly (readonly [string, string, number | undefined])[] = [
    ['no shadow', 'none', undefined],
    ['no shadow, once more', 'again', undefined],
    ['the same model', 'healthy', same],
    ['a server that refuses connections', 'dead', dead],
    [`a server that takes ${SLOW_MS / 1000} s`, 'slow', await external(slow.url)],
  ];
  const cases: Case[] = [];
  for (const [name, endpoint, version] of shadows) {
    const target = await serveTarget(gateway, endpoint, { model: MODEL, number }, {});
    if (version !== undefined) {
      await gateway.client.post(`/api/v1/endpoints/${endpoint}/revisions`, { json: { version } });
      const targets = [
        { revision: 1, percent: 100 },
        { revision: 2, percent: 0, shadowPercent: 100 },
      ];
      await gateway.client.put(`/api/v1/endpoints/${endpoint}/traffic`, { json: { targets } });
    }
    cases.push({ name, endpoint, target });
  }
  return cases;
}

async function shadowsOf(
  gateway: GatewayProcess,
  cases: readonly Case[],
): Promise<Map<Case, Shadow['shadows'][number]>> {
  // the last second is written when it is over
  await new Promise((resolve) => setTimeout(resolve, 3000));
  const found = new Map<Case, Shadow['shadows'][number]>();
  for (const one of cases) {
    const { body } = await gateway.client.get<Shadow>(`/api/v1/endpoints/${one.endpoint}/shadow`);
    const [only] = body.shadows;
    if (only) found.set(one, only);
  }
  return found;
}

function report(
  cases: readonly Case[],
  measured: readonly ReadonlyMap<Case, OpenLoopReport>[],
  shadows: ReadonlyMap<Case, Shadow['shadows'][number]>,
  { rounds, seconds, perSecond }: { readonly rounds: number; readonly seconds: number; readonly perSecond: number },
): BenchmarkResult {
  const [none] = cases as [Case, ...Case[]];
  const of = (one: Case, figure: (report: OpenLoopReport) => number | null) =>
    measured.map((round) => figure(round.get(one) as OpenLoopReport) ?? Number.NaN);
  const p99 = (one: Case) => of(one, ({ admitted }) => admitted.p99Ms);
  const ratios = (one: Case) => p99(one).map((value, round) => value / (p99(none)[round] as number));
  const spread = (values: readonly number[]) =>
    `${Math.min(...values).toFixed(2)} to ${Math.max(...values).toFixed(2)}`;
  const failed = (one: Case) => of(one, ({ sent, admitted }) => sent - admitted.count).reduce((a, b) => a + b, 0);
  const notes = cases.slice(1).map((one) => {
    const ratio = median(ratios(one));
    if (!shadows.has(one))
      return `p99 of a second endpoint without a shadow is ${ratio.toFixed(3)} times that of the first (rounds: ${spread(ratios(one))}): so much is chance`;
    return `aim: p99 with ${one.name} at most ${AIM} times that without a shadow; it is ${ratio.toFixed(3)} (rounds: ${spread(ratios(one))}): ${ratio <= AIM ? 'met' : 'MISSED'}`;
  });
  const broken = cases.reduce((sum, one) => sum + failed(one), 0);
  return {
    tables: [
      {
        title: 'Predictions of one row, all of them copied',
        columns: [
          'shadow',
          'sent/s',
          'p50 ms',
          'p99 ms',
          'p99 of rounds',
          'p99 to none',
          'sent late, p99 ms',
          'not answered 200',
          'compared',
          'disagreed',
          'failed',
          'dropped',
        ],
        rows: cases.map((one) => {
          const shadow = shadows.get(one);
          const counts = shadow ? [shadow.compared, shadow.disagreed, shadow.failed, shadow.dropped] : ['', '', '', ''];
          return [
            one.name,
            (median(of(one, ({ sent }) => sent)) / seconds).toFixed(0),
            median(of(one, ({ admitted }) => admitted.p50Ms)).toFixed(2),
            median(p99(one)).toFixed(2),
            spread(p99(one)),
            median(ratios(one)).toFixed(3),
            median(of(one, ({ lateP99Ms }) => lateP99Ms)).toFixed(2),
            String(failed(one)),
            ...counts.map(String),
          ];
        }),
      },
    ],
    notes: [
      ...notes,
      `aim: every real request answered 200; ${broken} were not: ${broken === 0 ? 'met' : 'MISSED'}`,
      `ratios are of the same round; ${rounds} rounds of ${seconds} s for each case in turns, requests leave at random, ${perSecond} a second: a rate with headroom, because a shadow that answers takes as much processor time as the model that it is compared with; nothing pinned`,
    ],
    notRun: [],
  };
}
