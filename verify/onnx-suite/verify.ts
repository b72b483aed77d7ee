/** ONNX's operator suite through a real gateway, against the suite's own expected values. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { messageOf } from '../../src/errors.js';
import { type GatewayProcess, startGatewayProcess } from '../../tests/support/gateway-process.js';
import type { Verification } from '../verification.js';
import { type Case, type Report, type Suite, writeSuite } from './cases.js';
import { difference } from './compare.js';
import { refusesGrpc } from './grpc.js';
import { grpc, rest, type Transport } from './transports.js';

/** Cases under way at once: a cold start has pauses that another one can use. */
const AT_ONCE = 3;
const SHOWN = 20;
/** A line of progress after so many cases. */
const TOLD = 100;

interface Tally {
  cases: number;
  sets: number;
  /** Cases whose answers are the expected ones, by transport. */
  readonly right: Map<string, number>;
  readonly wrong: string[];
}

/**
 * Each case is a model of its own: registered, served by an endpoint, asked by every transport, deleted. Cases that ONNX
 * Runtime itself does not pass on this machine are none of ours; those whose types the protocol cannot carry are listed.
 */
export const onnxSuite: Verification = {
  name: 'onnx-suite',
  summary:
    "ONNX's operator suite through a real gateway, against its own expected values (--only TEXT: cases named so)",
  async run({ args }) {
    const only = args[args.indexOf('--only') + 1] ?? '';
    const chosen = args.includes('--only') ? only : '';
    const folder = await mkdtemp(join(tmpdir(), 'sluice-onnx-suite-'));
    try {
      const suite = await writeSuite(folder);
      if ('missing' in suite) return { ok: true, figures: {}, notRun: [suite.missing] };
      const gateway = await startGatewayProcess({ env: { SLUICE_SPARES: '3' } });
      try {
        return await runSuite(gateway, suite, chosen);
      } finally {
        await gateway.stop();
      }
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  },
};

async function runSuite(gateway: GatewayProcess, suite: Suite, only: string) {
  const refusal = await refusesGrpc(gateway.url, gateway.key);
  const transports = refusal === undefined ? [rest, grpc] : [rest];
  const tally: Tally = { cases: 0, sets: 0, right: new Map(transports.map(({ name }) => [name, 0])), wrong: [] };
  const cases = suite.cases();
  const work = async () => {
    for (let next = await cases.next(); !next.done; next = await cases.next()) {
      if (!next.value.name.includes(only)) continue;
      await runCase(gateway, next.value, transports, tally);
      if (tally.cases % TOLD === 0) console.error(`${tally.cases} cases, ${tally.wrong.length} wrong answers`);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  for (const problem of tally.wrong.slice(0, SHOWN)) console.error(problem);
  return {
    ok: tally.wrong.length === 0,
    figures: figuresOf(suite, tally),
    notRun: refusal === undefined ? [] : [`gRPC: the gateway does not take calls: ${refusal}`],
  };
}

function figuresOf({ versions, report }: Suite, { cases, sets, right, wrong }: Tally): Record<string, string | number> {
  return {
    'suite and library': versions,
    'cases in the suite': report.total,
    ...notPassed(report),
    ...leftOut(report),
    'cases asked': cases,
    'requests by transport': sets,
    ...Object.fromEntries([...right].map(([name, count]) => [`right over ${name}`, count])),
    'wrong answers': wrong.length,
  };
}

/** Cases that ONNX Runtime's own Python does not pass here, by why. */
function notPassed({ failed }: Report): Record<string, string | number> {
  const counts = new Map<string, number>();
  for (const words of Object.values(failed)) {
    const why = WHY.find(([pattern]) => pattern.test(words))?.[1] ?? 'other reasons';
    counts.set(why, (counts.get(why) ?? 0) + 1);
  }
  const lines = [...counts].map(([why, count]) => [`of them: ${why}`, count] as const);
  return { 'not passed by ONNX Runtime itself': Object.keys(failed).length, ...Object.fromEntries(lines) };
}

const WHY: readonly (readonly [RegExp, string])[] = [
  [
    /NOT_IMPLEMENTED|is not a registered|No Op registered|not currently registered/,
    'an operator or type that it has not',
  ],
  [/Not equal to tolerance|Items are not equal|Arrays are not equal/, 'another answer than the suite expects'],
];

/** Cases that the protocol cannot carry, by their types. */
function leftOut({ left }: Report): Record<string, string> {
  return Object.fromEntries(
    Object.entries(left).map(([types, names]) => [
      `left out: ${types}`,
      `${names.length}: ${names.slice(0, 3).join(', ')}…`,
    ]),
  );
}

async function runCase(
  gateway: GatewayProcess,
  one: Case,
  transports: readonly Transport[],
  tally: Tally,
): Promise<void> {
  const endpoint = `case-${tally.cases++}`;
  try {
    const version = await gateway.upload(endpoint, await readFile(one.path));
    await gateway.serve(endpoint, endpoint, version, { scaling: { maxReplicas: 1 } });
    for (const transport of transports) await askAll(gateway, endpoint, one, transport, tally);
    await gateway.client.delete(`/api/v1/endpoints/${endpoint}`);
  } catch (error) {
    tally.wrong.push(`${one.name}: ${messageOf(error)}`);
  }
}

async function askAll(
  { url, key }: GatewayProcess,
  endpoint: string,
  { name, sets, rtol, atol }: Case,
  transport: Transport,
  tally: Tally,
): Promise<void> {
  const before = tally.wrong.length;
  for (const [at, { inputs, outputs }] of sets.entries()) {
    if (transport === rest) tally.sets++;
    const found = await transport.ask({ url, key, endpoint }, inputs).then(
      (answered) => difference(outputs, answered, { rtol, atol }),
      (error: unknown) => messageOf(error),
    );
    if (found !== undefined) tally.wrong.push(`${name}, data set ${at}, ${transport.name}: ${found}`);
  }
  if (tally.wrong.length === before) tally.right.set(transport.name, (tally.right.get(transport.name) ?? 0) + 1);
}
