/** Sluice beside the programs that do its work, and beside the least programs that could. */
import { mkdir, writeFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { AppError, messageOf } from '../../src/errors.js';
import type { Benchmark, BenchmarkResult } from '../benchmark.js';
import { temporaryFolder } from '../support/folder.js';
import { installGhz, openGrpcLoad } from '../support/load/ghz.js';
import { type LoadGenerator, openHttpLoad } from '../support/load/load.js';
import { mlp } from '../support/mlp.js';
import { choice, positive } from '../support/options.js';
import { type Form, grpcPrediction, httpPrediction, rowsOf, VARIANTS, variants } from '../support/predictions.js';
import { judgeAims } from './aims.js';
import { PEERS } from './all.js';
import { expectedAnswer } from './answer.js';
import { CASES, type Case, formFor } from './cases.js';
import { type Contender, type Cores, measure, type PeerFigures, type PreparedCase } from './measure.js';
import type { Peer } from './peer.js';
import { benchCache } from './python.js';
import { CORES_SAY, caseTable, type Figures, foreignNote, lookUpIn, startTable } from './report.js';

const MODES: readonly { readonly name: Cores }[] = [{ name: 'one' }, { name: 'two' }];
const OPTIONS = {
  only: { type: 'string' },
  cases: { type: 'string' },
  cores: { type: 'string' },
  rounds: { type: 'string' },
  seconds: { type: 'string' },
  quick: { type: 'boolean', default: false },
} as const;

/**
 * `--only a,b`: these peers; `--cases json1,…`: these cases; `--cores one|two`: everything on one core, or nothing pinned
 * (both); `--rounds N` (5), `--seconds N` of each sample (2); `--quick`: one round of 1 s on one core.
 */
export const peers: Benchmark = {
  name: 'peers',
  summary: 'predictions through Sluice, other model servers and proxies, against bare servers in Node and Python',
  async run({ args, cleanup }) {
    const { values } = parseArgs({ args, options: OPTIONS });
    const chosen = choice('only', values.only, PEERS);
    const selected = choice('cases', values.cases, CASES);
    const modes = choice('cores', values.cores ?? (values.quick ? 'one' : undefined), MODES);
    const rounds = positive('rounds', values.rounds ?? (values.quick ? '1' : '5'));
    const seconds = positive('seconds', values.seconds ?? (values.quick ? '1' : '2'));

    const folder = await temporaryFolder(cleanup);
    const model = join(folder, 'digits.onnx');
    await writeFile(model, mlp([64]));
    const { contenders, notRun } = await install(chosen);
    const cases = await prepare(selected, contenders, folder, model);

    const figures = new Map<Cores, PeerFigures[]>();
    for (const { name } of modes) {
      const setting = { cores: name, rounds, seconds, folder: join(folder, name), model, cleanup };
      await mkdir(setting.folder);
      figures.set(name, await measure(contenders, cases, setting));
    }
    return report({ figures, contenders, cases, notRun, how: `${rounds} rounds, ${seconds} s a sample` });
  },
};

/** What can be started here, and why the rest cannot. */
async function install(chosen: readonly Peer[]): Promise<{ contenders: Contender[]; notRun: string[] }> {
  const contenders: Contender[] = [];
  const notRun: string[] = [];
  for (const peer of chosen) {
    try {
      contenders.push({ peer, installed: await peer.install() });
    } catch (error) {
      notRun.push(`${peer.name}: ${messageOf(error).split('\n').slice(0, 3).join(' ')}`);
    }
  }
  if (contenders.length === 0) throw new AppError('unsupported', `nothing can run here: ${notRun.join('; ')}`);
  return { contenders, notRun };
}

/** The loads of each case in the forms that somebody takes. */
function prepare(
  selected: readonly Case[],
  contenders: readonly Contender[],
  folder: string,
  model: string,
): Promise<PreparedCase[]> {
  const make = async (one: Case): Promise<PreparedCase> => {
    const takers = contenders.filter(({ peer }) => peer.cases.includes(one.name));
    const loads = new Map<Form, LoadGenerator | string>();
    for (const form of new Set(takers.map(({ peer }) => formFor(peer, one)))) {
      loads.set(form, await openLoad(form, one.rows, join(folder, `requests-${form}-${one.rows}`)).catch(messageOf));
    }
    return { case: one, expected: await expectedAnswer(model, rowsOf(one.rows)), loads };
  };
  return Promise.all(selected.map(make));
}

async function openLoad(form: Form, rows: number, folder: string): Promise<LoadGenerator> {
  if (form !== 'grpc') {
    return openHttpLoad(
      folder,
      variants(rows, (numbers) => httpPrediction(form, numbers)),
    );
  }
  return openGrpcLoad(await installGhz(benchCache()), folder, variants(rows, grpcPrediction));
}

interface Measured {
  readonly figures: Figures;
  readonly contenders: readonly Contender[];
  readonly cases: readonly PreparedCase[];
  readonly notRun: readonly string[];
  readonly how: string;
}

function report({ figures, contenders, cases, notRun, how }: Measured): BenchmarkResult {
  const tables = [...figures].flatMap(([cores, all]) => [
    ...cases.flatMap((prepared) => caseTable(cores, prepared.case, all) ?? []),
    startTable(cores, all),
  ]);
  const aims = judgeAims(lookUpIn(figures));
  const failures = [...figures].flatMap(([cores, all]) =>
    all.flatMap(({ peer, notRun: reasons }) => [...reasons].map((why) => `${peer.name}, ${CORES_SAY[cores]}: ${why}`)),
  );
  const loads = cases.flatMap(({ loads: own }) => [...own.values()]);
  const generators = new Set(loads.flatMap((load) => (typeof load === 'string' ? [] : [load.name])));
  return {
    tables,
    notes: [
      ...aims.verdicts,
      `medians of ${how}, each peer started anew, alone and in turns (A B C A B C …); one answer of each case checked for its labels and probabilities before it is measured; every request carries a sampled trace context`,
      foreignNote(figures),
      `load by ${[...generators].join('; ')}; ${VARIANTS} bodies in turn that differ in their numbers`,
      `"${CORES_SAY.one}" holds server, backend and load generator to core 0; with "${CORES_SAY.two}" they may use all ${cpus().length}, and waking another core can cost more than the work itself`,
      'CPU is that of the whole process tree, with what is behind a proxy; own CPU is without it, and for sluice without its model servers; foreign cores are work of others meanwhile',
      ...contenders.map(({ peer, installed }) => `${peer.name} (${peer.kind}): ${peer.about}; ${installed.versions}`),
    ],
    notRun: [...notRun, ...failures, ...aims.notRun],
  };
}
