import type { Command } from 'commander';
import {
  type ArmStats,
  type Endpoint,
  listOf,
  type Promotion,
  type Rollout,
  type RolloutSummary,
} from './api-types.js';
import type { Io } from './io.js';
import { number, oneLine } from './print/text.js';
import { resolveRollout, resolveVersion } from './resolve.js';
import { openSession, type Session } from './session.js';
import { integer } from './values.js';
import { mustBe, untilPromotionEnded, untilRolloutEnded } from './wait.js';

const VERBS = [
  ['promote', 'end a rollout now: the candidate takes all traffic'],
  ['pause', 'hold a rollout at its step; a regression still rolls it back'],
  ['resume', 'let a paused rollout go on'],
  ['abort', 'end a rollout now: the stable revision takes all traffic back'],
] as const;

/** `sluice rollouts`. */
export function define(command: Command, io: Io): void {
  command
    .command('list')
    .description('list rollouts, newest first')
    .option('--endpoint <name>', 'only of this endpoint')
    .option('--limit <n>', 'at most so many', integer(1, 1000), 20)
    .action((options: { endpoint?: string; limit: number }, self: Command) => list(openSession(io, self), options));
  command
    .command('show')
    .description('show a rollout: its steps, both revisions over the same time, what happened')
    .argument('<rollout>', 'its id, or the endpoint whose rollout is under way')
    .option('--watch', 'stay until it ends; the exit code says whether it was promoted')
    .action((rollout: string, options: { watch?: boolean }, self: Command) =>
      show(openSession(io, self), rollout, options.watch === true),
    );
  command
    .command('start')
    .description('take a model version to an endpoint: its gates first, then the rollout')
    .argument('<endpoint>')
    .requiredOption('--version <version>', 'model version: a number, "latest" or an alias')
    .option('--wait', 'stay until it ends; the exit code says whether it was promoted')
    .action((endpoint: string, options: { version: string; wait?: boolean }, self: Command) =>
      start(openSession(io, self), endpoint, options.version, options.wait === true),
    );
  for (const [verb, text] of VERBS) {
    command
      .command(verb)
      .description(text)
      .argument('<rollout>', 'its id, or the endpoint whose rollout is under way')
      .action((rollout: string, _options: unknown, self: Command) => act(openSession(io, self), verb, rollout));
  }
}

async function list(session: Session, options: { endpoint?: string; limit: number }): Promise<void> {
  const answer = await session.client.get<unknown>('/api/v1/rollouts', {
    query: { endpoint: options.endpoint, limit: options.limit },
    signal: session.signal,
  });
  if (session.printedJson(answer)) return;
  session.table(
    listOf<RolloutSummary>(answer.body, 'rollouts'),
    [
      { title: 'rollout', cell: (rollout) => rollout.id },
      { title: 'endpoint', cell: (rollout) => rollout.endpoint },
      { title: 'from', cell: (rollout) => String(rollout.stable), right: true },
      { title: 'to', cell: (rollout) => String(rollout.candidate), right: true },
      { title: 'state', cell: (rollout) => rollout.state, state: true },
      { title: 'step', cell: stepText },
      { title: 'started', cell: (rollout) => session.ago(rollout.createdAt) },
      { title: 'reason', cell: (rollout) => rollout.reason },
    ],
    'no rollouts yet; start one with `sluice rollouts start`',
  );
}

async function show(session: Session, text: string, watch: boolean): Promise<void> {
  const id = await resolveRollout(session, text);
  const answer = await session.client.get<Rollout>(`/api/v1/rollouts/${encodeURIComponent(id)}`, {
    signal: session.signal,
  });
  if (!watch && session.printedJson(answer)) return;
  if (!session.json) printRollout(session, answer.body);
  if (!watch) return;
  const end = await untilRolloutEnded(session, id, answer.body.events.length, (now, from) => {
    if (!session.json) printEvents(session, now, from);
  });
  session.printedJson(end);
  mustBe('promoted', id, end.body.state, end.body.reason);
  session.print(`${id} was promoted`);
}

async function start(session: Session, name: string, text: string, wait: boolean): Promise<void> {
  const path = `/api/v1/endpoints/${encodeURIComponent(name)}`;
  const { model } = (await session.client.get<Endpoint>(path, { signal: session.signal })).body;
  const { version } = await resolveVersion(session, model, text);
  const answer = await session.client.post<{ promotion: string }>(`${path}/promotions`, {
    json: { version },
    signal: session.signal,
  });
  const { promotion } = answer.body;
  if (!wait) {
    if (session.printedJson(answer)) return;
    session.printEssential(promotion, `${promotion}: version ${version} of ${model} is on its way to ${name}`);
    session.note(`gates come first; then watch it with \`sluice rollouts show ${name} --watch\``);
    return;
  }
  session.note(`${promotion}: version ${version} of ${model} is on its way to ${name}`);
  const end = await untilPromotionEnded(session, promotion);
  if (!session.printedJson(end)) session.printEssential(promotion, promotionText(end.body));
  mustBe('promoted', promotion, end.body.state, end.body.reason);
}

async function act(session: Session, verb: string, text: string): Promise<void> {
  const id = await resolveRollout(session, text);
  const answer = await session.client.post<{ state: string }>(`/api/v1/rollouts/${encodeURIComponent(id)}/${verb}`, {
    signal: session.signal,
  });
  if (session.printedJson(answer)) return;
  session.printEssential(id, `${id} is ${answer.body.state}`);
}

function printRollout(session: Session, rollout: Rollout): void {
  session.facts([
    ['rollout', rollout.id],
    ['endpoint', rollout.endpoint],
    ['state', rollout.state],
    ['step', stepText(rollout)],
    ['started', session.ago(rollout.createdAt)],
    ['ended', rollout.endedAt ? session.ago(rollout.endedAt) : undefined],
    ['reason', rollout.reason],
  ]);
  if (rollout.stats) {
    const { stable, candidate } = rollout.stats;
    session.print('');
    session.table<{ arm: string; revision: number; stats: ArmStats }>(
      [
        { arm: 'stable', revision: rollout.stable, stats: stable },
        { arm: 'candidate', revision: rollout.candidate, stats: candidate },
      ],
      [
        { title: '', cell: (row) => row.arm },
        { title: 'revision', cell: (row) => String(row.revision), right: true },
        { title: 'requests', cell: (row) => number(row.stats.requests), right: true },
        { title: 'errors', cell: (row) => number(row.stats.errors), right: true },
        { title: 'p50 ms', cell: (row) => number(row.stats.p50Ms, 3), right: true },
        { title: 'p95 ms', cell: (row) => number(row.stats.p95Ms, 3), right: true },
      ],
      '',
    );
  }
  if (rollout.analysis && rollout.analysis.metrics.length > 0) {
    session.print('');
    session.table(
      rollout.analysis.metrics,
      [
        { title: 'metric', cell: (row) => row.metric },
        { title: 'verdict', cell: (row) => row.kind.replace('_', ' ') },
        { title: 'numbers', cell: (row) => oneLine(row.words) },
      ],
      '',
    );
  }
  if (rollout.events.length > 0) session.print('');
  printEvents(session, rollout, 0);
}

function printEvents(session: Session, rollout: Rollout, from: number): void {
  for (const event of rollout.events.slice(from)) {
    session.print(`${session.style.dim(event.at.slice(11, 19))}  ${event.kind.padEnd(10)}  ${oneLine(event.message)}`);
  }
}

function promotionText(promotion: Promotion): string {
  return `${promotion.id}: version ${promotion.version} of ${promotion.model} on ${promotion.endpoint}: ${promotion.state}`;
}

function stepText(rollout: RolloutSummary): string {
  const step = rollout.plan.steps[rollout.step];
  if (rollout.endedAt) return '-';
  if (rollout.step < 0 || !step) return 'starting';
  return `${rollout.step + 1} of ${rollout.plan.steps.length} (${step.percent} %)`;
}
