import { readFile } from 'node:fs/promises';
import { Agent } from 'node:http';
import { performance } from 'node:perf_hooks';
import { parseArgs } from 'node:util';
import { sql } from 'kysely';
import { changeTraffic } from '../../src/core/endpoints/serve.js';
import type { Db } from '../../src/core/schema.js';
import { createLog } from '../../src/log.js';
import { openDatabase } from '../../src/platform/db/open.js';
import { type GatewayProcess, startGatewayProcess } from '../../tests/support/gateway-process.js';
import type { Verification } from '../verification.js';
import { type Change, judge, quantile, SETTINGS, settingOf } from './judge.js';
import { ask, Load } from './load.js';
import { startStandIn } from './stand-in.js';
import { ENDPOINT, makeEndpoint, makeNeighbours, startWorker } from './world.js';

const GATEWAYS = 4;
const WORKERS = 3;
const ENDPOINTS = 10_000;
const FEW = 10;
const CONNECTIONS = 2;
/** Between two changes, so that each can be told from the next everywhere. */
const REST_MS = 100;
const FOLLOW_MS = 10_000;
const MAX_P99_MS = 100;
const COST_BLOCKS = 16;
const COST_REQUESTS = 1500;
/** What two equal gateways differ by here from run to run. */
const MAX_COST_RATIO = 1.1;

/**
 * How fast a change of weights is in force everywhere, and whether any request sees half of it. Settings follow one another
 * with revisions of their own, so that each answer says by which it was routed. `--changes N` (default 300).
 */
export const propagation: Verification = {
  name: 'propagation',
  summary: `a change of weights among ${ENDPOINTS} endpoints: in force at ${GATEWAYS} gateways within ${MAX_P99_MS} ms, whole, at no cost`,
  async run({ args }) {
    const { values } = parseArgs({ args, options: { changes: { type: 'string', default: '300' } } });
    const count = Number(values.changes);
    const cleanups: (() => unknown)[] = [];
    try {
      return await run(count, cleanups);
    } finally {
      for (const cleanup of cleanups.reverse()) await cleanup();
    }
  },
};

async function run(count: number, cleanups: (() => unknown)[]) {
  const log = createLog({ level: 'error', format: 'text' });
  const standIn = await startStandIn();
  cleanups.push(() => standIn.stop());
  const start = async (beside?: { databaseUrl: string; key: string }) => {
    const gateway = await startGatewayProcess({ beside });
    cleanups.push(() => gateway.stop());
    return gateway;
  };
  const open = (url: string): Db => {
    const { db, close } = openDatabase(url, log, 4);
    cleanups.push(close);
    return db;
  };
  const first = await start();
  const db = open(first.databaseUrl);
  await makeEndpoint(first, standIn.url);
  // another installation on the same Postgres, with few endpoints
  await sql`create database few`.execute(db);
  const fewUrl = first.databaseUrl.replace(/\/[^/?]+(\?|$)/, '/few$1');
  const few = await start({ databaseUrl: fewUrl, key: first.key });
  const fewDb = open(fewUrl);
  await makeEndpoint(few, standIn.url);
  await makeNeighbours(fewDb, FEW - 1);

  const gateways = [first];
  while (gateways.length < GATEWAYS) gateways.push(await start(first));
  for (let at = 0; at < WORKERS; at++) {
    const worker = await startWorker(first.databaseUrl);
    cleanups.push(() => worker.stop());
  }
  const told = performance.now();
  await makeNeighbours(db, ENDPOINTS - 1);
  const written = performance.now();
  await Promise.all(gateways.map((gateway) => knows(gateway, `near-${ENDPOINTS - 1}`)));
  const known = performance.now();
  for (const gateway of [few, ...gateways]) await warm(gateway);

  const many = await measure(db, gateways, count);
  // the same load on both
  const small = await measure(fewDb, [few], Math.ceil(count / 2));
  const alone = await measure(db, [first], Math.ceil(count / 2));
  const cost = await compareCost(first, few);
  const ratio = mean(cost.many) / mean(cost.few);

  const ms = (value: number) => Number(value.toFixed(1));
  const halfAndMost = (values: readonly number[]) => `${ms(quantile(values, 0.5))} / ${ms(quantile(values, 0.99))}`;
  const p99 = quantile(many.fromWrite, 0.99);
  const all = [many, small, alone];
  const total = (of: (one: typeof many) => number) => all.reduce((sum, one) => sum + of(one), 0);
  const wrong = total(({ strays, back, failed }) => strays + back + failed);
  const figures = {
    'endpoints told of at once': ENDPOINTS - 1,
    'their transaction, ms': ms(written - told),
    'until all gateways know the last, ms': ms(known - written),
    'changes x gateways seen': `${many.fromWrite.length} of ${count * GATEWAYS}`,
    [`from writing to first answer, p99 ms (at most ${MAX_P99_MS})`]: ms(p99),
    'from writing to first answer, p50 / most ms': `${ms(quantile(many.fromWrite, 0.5))} / ${ms(quantile(many.fromWrite, 1))}`,
    'from begin of its transaction, p50 / p99 ms': halfAndMost(many.fromBegin),
    'from news of its commit, p50 / p99 ms': halfAndMost(many.fromCommit),
    'answers under the changes': total(({ answers }) => answers),
    'answers of another setting': total(({ strays }) => strays),
    'answers that went back': total(({ back }) => back),
    'requests that failed': total(({ failed }) => failed),
    [`a change, ${FEW} endpoints, p50 / p99 ms`]: halfAndMost(small.fromWrite),
    [`a change, ${ENDPOINTS} endpoints, p50 / p99 ms`]: halfAndMost(alone.fromWrite),
    [`processor us a request, ${FEW} endpoints`]: ms(mean(cost.few)),
    [`processor us a request, ${ENDPOINTS} endpoints`]: ms(mean(cost.many)),
    [`ratio (at most ${MAX_COST_RATIO})`]: Number(ratio.toFixed(3)),
  };
  const ok = p99 <= MAX_P99_MS && many.fromWrite.length === count * GATEWAYS && wrong === 0 && ratio <= MAX_COST_RATIO;
  return { ok, figures, notRun: [] };
}

async function knows({ client }: GatewayProcess, endpoint: string): Promise<void> {
  for (const until = performance.now() + 60_000; performance.now() < until; await sleep(20)) {
    const found = await client.get(`/v2/models/${endpoint}/ready`).then(
      () => true,
      () => false,
    );
    if (found) return;
  }
  throw new Error(`endpoint ${endpoint} is not known after 60 s`);
}

/** Every revision answers once, so that no start is measured. */
async function warm({ url, key }: GatewayProcess): Promise<void> {
  const agent = new Agent();
  for (const revision of SETTINGS.flat()) await ask(agent, { url, key, endpoint: ENDPOINT }, revision);
}

/** Moves the traffic so many times under load at each of the gateways. */
async function measure(db: Db, gateways: readonly GatewayProcess[], count: number) {
  const change = async (setting: number): Promise<Change> => {
    const targets = (SETTINGS[setting] ?? []).map((revision) => ({ revision, percent: 50 }));
    const began = performance.now();
    await changeTraffic(db, 'default', ENDPOINT, { targets, actor: 'verify', reason: '' });
    const done = performance.now();
    const { at } = await db
      .selectFrom('traffic_changes as c')
      .innerJoin('endpoints as e', 'e.id', 'c.endpoint_id')
      .select(sql<number>`extract(epoch from c.at)::float8 * 1000`.as('at'))
      .where('e.name', '=', ENDPOINT)
      .orderBy('c.generation', 'desc')
      .limit(1)
      .executeTakeFirstOrThrow();
    // the clocks are one: Postgres runs on this machine
    return { setting, began, written: at - performance.timeOrigin, done };
  };
  const changes = [await change(0)];
  await sleep(1000);
  const loads = gateways.map(({ url, key }) => new Load({ url, key, endpoint: ENDPOINT }, CONNECTIONS));
  await sleep(500);
  for (let at = 1; at <= count; at++) {
    const setting = at % SETTINGS.length;
    changes.push(await change(setting));
    await followed(loads, setting);
    // not in step with anything that happens at intervals
    await sleep(REST_MS + Math.random() * 40);
  }
  await Promise.all(loads.map((load) => load.stop()));
  const verdicts = loads.map((load) => judge(changes, load.answers));
  const sum = (of: (one: (typeof verdicts)[number]) => number) => verdicts.reduce((total, one) => total + of(one), 0);
  return {
    fromBegin: verdicts.flatMap(({ fromBegin }) => fromBegin),
    fromWrite: verdicts.flatMap(({ fromWrite }) => fromWrite),
    fromCommit: verdicts.flatMap(({ fromCommit }) => fromCommit),
    strays: sum(({ strays }) => strays),
    back: sum(({ back }) => back),
    answers: loads.reduce((total, { answers }) => total + answers.length, 0),
    failed: loads.reduce((total, { failed }) => total + failed, 0),
  };
}

/** Waits until each gateway's last answer is of the setting: what is late then is late alone, and is not taken for mixed. */
async function followed(loads: readonly Load[], setting: number): Promise<void> {
  for (const until = performance.now() + FOLLOW_MS; performance.now() < until; await sleep(5)) {
    if (loads.every(({ answers }) => settingOf(answers.at(-1)?.revision ?? 0) === setting)) return;
  }
}

/** Processor time of the two gateways for a request, in microseconds, block by block in turn. */
async function compareCost(many: GatewayProcess, few: GatewayProcess): Promise<{ many: number[]; few: number[] }> {
  const costs = { many: [] as number[], few: [] as number[] };
  for (let block = -1; block < COST_BLOCKS; block++) {
    for (const [kind, gateway] of [['many', many] as const, ['few', few] as const]) {
      const cost = await costOf(gateway);
      // the first block warms up
      if (block >= 0) costs[kind].push(cost);
    }
  }
  return costs;
}

async function costOf({ url, key, pid }: GatewayProcess): Promise<number> {
  const agent = new Agent({ keepAlive: true, maxSockets: 8 });
  let left = COST_REQUESTS;
  const before = await processorMs(pid);
  const worker = async () => {
    while (left-- > 0) await ask(agent, { url, key, endpoint: ENDPOINT });
  };
  await Promise.all(Array.from({ length: 8 }, worker));
  agent.destroy();
  return ((await processorMs(pid)) - before) * (1000 / COST_REQUESTS);
}

/** Processor time of a process so far, by Linux. */
async function processorMs(pid: number): Promise<number> {
  const tasks = await readFile(`/proc/${pid}/stat`, 'utf8');
  const fields = tasks.slice(tasks.lastIndexOf(')') + 2).split(' ');
  // user and system time in hundredths of a second
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
