import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { messageOf } from '../../src/errors.js';
import { seeded } from '../../tests/support/random.js';
import { startRedis, whyNoRedis } from '../../tests/support/redis-server.js';
import type { Verification, VerificationResult } from '../verification.js';
import { openApi, patiently, prepare } from './api.js';
import { audit } from './audit.js';
import { figuresOf } from './figures.js';
import { createInstallation } from './installation.js';
import { planRounds, type Round } from './plan.js';
import { startPredictions } from './predictions.js';
import { playRound, type RoundResult, type Stage } from './round.js';
import { Witness } from './witness.js';

const START_MS = 60_000;
const WATCHDOG_MS = 25 * 60_000;
const PER_SECOND = 60;
const ROWS = 16;

/**
 * kill -9 of every kind of process at random moments of the path from submission to promotion, under traffic, on one
 * installation that lives through all of it. `--rounds N` (default 30), `--seed N`. Runs from the folder of the package.
 */
export const faults: Verification = {
  name: 'faults',
  summary:
    'kill -9 of any process at any moment loses no job, no version, no traffic setting, and leaves no process behind',
  async run({ args }) {
    const { values } = parseArgs({
      args,
      options: {
        rounds: { type: 'string', default: '30' },
        seed: { type: 'string', default: '1' },
        trace: { type: 'boolean', default: false },
      },
    });
    if (process.platform !== 'linux')
      return { ok: true, figures: {}, notRun: ['all of it: processes are found through /proc'] };
    const interrupted = new AbortController();
    const interrupt = () => interrupted.abort(new Error('interrupted'));
    const watchdog = setTimeout(
      () => interrupted.abort(new Error(`not done within ${WATCHDOG_MS / 60_000} minutes`)),
      WATCHDOG_MS,
    );
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, interrupt);
    try {
      return await run(
        { count: Number(values.rounds), seed: Number(values.seed), trace: values.trace },
        interrupted.signal,
      );
    } finally {
      clearTimeout(watchdog);
      for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.off(signal, interrupt);
    }
  },
};

async function run(
  { count, seed, trace }: { count: number; seed: number; trace: boolean },
  interrupted: AbortSignal,
): Promise<VerificationResult> {
  const noRedis = whyNoRedis();
  const plan = planRounds(count, seeded(seed), noRedis === undefined);
  const cleanups: (() => Promise<unknown>)[] = [];
  const problems: string[] = [];
  const stop = new Promise<never>((_, reject) =>
    interrupted.addEventListener('abort', () => reject(interrupted.reason)),
  );
  stop.catch(() => {});
  let installation: Awaited<ReturnType<typeof createInstallation>> | undefined;
  try {
    const here = await createInstallation();
    installation = here;
    cleanups.unshift(() => here.remove());
    const redis = noRedis === undefined ? await startRedis() : undefined;
    if (redis) cleanups.unshift(() => redis.stop());
    const play = playAll({ installation: here, redis, plan, problems, cleanups, trace });
    // what it still does when it is interrupted fails for want of a platform
    play.catch(() => {});
    const figures = await Promise.race([play, stop]);
    return {
      ok: problems.length === 0,
      figures: { seed, ...figures },
      notRun: noRedis === undefined ? [] : [`the rounds on Redis: ${noRedis}`],
    };
  } catch (error) {
    for (const line of (await installation?.lastLog(40)) ?? []) console.error(line);
    throw error;
  } finally {
    for (const cleanup of cleanups)
      await cleanup().catch((error: unknown) => console.error(`faults: cleaning up: ${messageOf(error)}`));
  }
}

interface Given {
  readonly installation: Stage['installation'];
  readonly redis: Stage['redis'];
  readonly plan: readonly Round[];
  readonly problems: string[];
  readonly cleanups: (() => Promise<unknown>)[];
  /** Print every round's events. */
  readonly trace: boolean;
}

async function playAll({
  installation,
  redis,
  plan,
  problems,
  cleanups,
  trace,
}: Given): Promise<VerificationResult['figures']> {
  const rows = await digits();
  installation.start(undefined);
  const bare = openApi(installation.url, installation.key, '');
  const began = Date.now();
  await patiently('the start', START_MS, () => bare.client.get('/readyz'));
  const startMs = Date.now() - began;
  const code = await prepare(bare.client, rows);
  const api = openApi(installation.url, installation.key, code);
  const witness = new Witness(api);
  const names = new Map<string, boolean>([['first', false]]);
  await firstModel(api);
  const predictions = startPredictions({
    url: installation.url,
    key: installation.key,
    endpoint: 'faults',
    rows,
    perSecond: PER_SECOND,
  });
  cleanups.unshift(() => predictions.stop());
  const stage: Stage = { installation, api, predictions, witness, redis, seenEvents: 0 };

  const played: { round: Round; result: RoundResult; failed: number }[] = [];
  let queue: Round['queue'] = 'postgres';
  let leftovers = 0;
  const switching: number[] = [];
  for (const round of plan) {
    if (round.queue !== queue) {
      queue = round.queue;
      const from = Date.now();
      const left = await installation.stop();
      leftovers += left.length;
      problems.push(...left.map(({ pid, command }) => `left after a stop: ${pid} ${command.slice(0, 120)}`));
      installation.start(redis?.url);
      await patiently('the start on Redis', START_MS, () => api.client.get('/readyz'));
      switching.push(from, Date.now());
    }
    for (const [letter, fails] of [
      ['a', false],
      ['b', round.oneFails],
      ['race', false],
    ] as const)
      names.set(`r${round.number}-${letter}`, fails);
    const from = Date.now();
    const before = predictions.failures.length;
    const result = await playRound(stage, round);
    const failures = predictions.failures
      .slice(before)
      .filter(({ at }) => !(at >= (switching[0] ?? Infinity) && at <= (switching[1] ?? 0)));
    played.push({ round, result, failed: failures.length });
    problems.push(
      ...result.problems.map((problem) => `round ${round.number} (${round.victim} in ${round.phase}): ${problem}`),
    );
    const reruns = result.rerunMs.length > 0 ? `, jobs again after ${result.rerunMs.join(' and ')} ms` : '';
    console.error(
      `round ${String(round.number).padStart(2)} on ${round.queue}: ${round.victim} in ${round.phase} (${result.killed}): answers after ${result.answersMs} ms, ` +
        `accepts after ${result.acceptsMs} ms, slowest ${result.slowestMs} ms, ${failures.length} failed${reruns}; ${((Date.now() - from) / 1000).toFixed(1)} s`,
    );
    for (const { words } of failures.slice(0, 2)) console.error(`  failed: ${words}`);
    for (const problem of result.problems) console.error(`  PROBLEM: ${problem}`);
    if (trace || result.problems.length > 0) for (const line of result.story) console.error(`  ${line}`);
  }
  await predictions.stop();
  if (predictions.wrong > 0)
    problems.push(`${predictions.wrong} predictions were answered with something else than before`);
  const audited = await audit(api, names);
  problems.push(...audited.problems);
  problems.push(...(await witness.look()));
  const left = await installation.stop();
  leftovers += left.length;
  problems.push(...left.map(({ pid, command }) => `left after the last stop: ${pid} ${command.slice(0, 120)}`));
  const folders = await readdir(join(installation.data, 'work'));
  if (folders.length > 0) problems.push(`work folders of jobs that ended: ${folders.join(', ')}`);
  const measured = figuresOf(played);
  problems.push(...measured.problems);
  if (problems.length > 0) for (const line of await installation.lastLog(40)) console.error(line);
  for (const problem of problems) console.error(`faults: ${problem}`);
  return {
    rounds: played.length,
    'first start (ms)': startMs,
    ...measured.figures,
    ...audited.figures,
    'versions and traffic settings compared': `${witness.seen.versions} and ${witness.seen.settings}`,
    'predictions sent': predictions.sent,
    'predictions answered': predictions.answered,
    'predictions answered wrongly': predictions.wrong,
    'supervisor ended by itself': installation.unexpectedEnds(),
    'processes left after stops': leftovers,
    'work folders left': folders.length,
    problems: problems.length,
  };
}

/** The endpoint's first version goes live at once; from then on there is something to answer with. */
async function firstModel(api: Stage['api']): Promise<void> {
  const id = await api.submit({ name: 'first', tag: 'first', seconds: 0.2, fails: false }, 'key-first');
  const until = Date.now() + START_MS;
  for (;;) {
    const [promotion] = await api.promotionsOf(id);
    if (promotion?.state === 'promoted') return;
    if (Date.now() > until) throw new Error(`the first model did not go live: ${JSON.stringify(await api.job(id))}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function digits(): Promise<number[][]> {
  const set = JSON.parse(await readFile('examples/digits/holdout.json', 'utf8')) as { inputs: { data: number[] }[] };
  const flat = set.inputs[0]?.data ?? [];
  return Array.from({ length: ROWS }, (_, at) => flat.slice(at * 64, at * 64 + 64));
}
