import type { Command } from 'commander';
import { type Endpoint, listOf } from './api-types.js';
import { usageError } from './exit.js';
import type { Io } from './io.js';
import { number, oneLine } from './print/text.js';
import { resolveRollout, resolveVersion } from './resolve.js';
import type { ArmStats, Promotion, Rollout, RolloutSummary } from './rollout-types.js';
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
    .option('--version <version>', 'model version: a number, "latest" or an alias')
    .option('--revision <revision>', 'a revision that is there already, without gates', integer(1, 2_147_483_647))
    .option('--wait', 'stay until it ends; the exit code says whether it was promoted')
    .action((endpoint: string, options: { version?: string; revision?: number; wait?: boolean }, self: Command) => {
      const { version, revision, wait = false } = options;
      if ((version === undefined) === (revision === undefined))
        throw usageError('name what is to go live: either --version or --revision');
      const session = openSession(io, self);
      return version === undefined
        ? startRevision(session, endpoint, revision as number, wait)
        : start(session, endpoint, version, wait);
    });
  command
    .command('retry')
    .description('start a rollout that did not succeed once more, against what is stable now')
    .argument('<rollout>', 'its id')
    .action((rollout: string, _options: unknown, self: Command) => retry(openSession(io, self), rollout));
  command
    .command('back')
    .description('go back to an earlier revision: at once where it is ready, with no steps and no analysis')
    .argument('<endpoint>')
    .option('--to <revision>', 'by default the one that had all the traffic before', integer(1, 2_147_483_647))
    .option('--force', 'at once, even if no replica of it is ready: requests wait for one')
    .option('--reason <text>', 'why, for the record')
    .action((endpoint: string, options: { to?: number; force?: boolean; reason?: string }, self: Command) =>
      back(openSession(io, self), endpoint, options),
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

/** Rolls out a revision that is there. */
async function startRevision(session: Session, name: string, revision: number, wait: boolean): Promise<void> {
  const answer = await session.client.post<{ rollout: string }>(
    `/api/v1/endpoints/${encodeURIComponent(name)}/rollouts`,
    { json: { revision }, signal: session.signal },
  );
  const { rollout } = answer.body;
  if (!wait && session.printedJson(answer)) return;
  const words = `${rollout}: revision ${revision} is on its way to ${name}`;
  if (!wait) {
    session.printEssential(rollout, words);
    session.note(`watch it with \`sluice rollouts show ${name} --watch\``);
    return;
  }
  session.note(words);
  await show(session, rollout, true);
}

async function retry(session: Session, id: string): Promise<void> {
  const answer = await session.client.post<{ rollout: string }>(`/api/v1/rollouts/${encodeURIComponent(id)}/retry`, {
    signal: session.signal,
  });
  if (session.printedJson(answer)) return;
  session.printEssential(answer.body.rollout, `${answer.body.rollout} tries ${id} again`);
}

async function back(
  session: Session,
  name: string,
  { to, force, reason }: { to?: number; force?: boolean; reason?: string },
): Promise<void> {
  const answer = await session.client.post<{ revision: number; rollout: string | null }>(
    `/api/v1/endpoints/${encodeURIComponent(name)}/rollback`,
    { json: { revision: to, force, reason }, signal: session.signal },
  );
  if (session.printedJson(answer)) return;
  const { revision, rollout } = answer.body;
  if (rollout === null) session.printEssential(String(revision), `${name} is back at revision ${revision}`);
  else {
    session.printEssential(rollout, `${rollout}: ${name} goes back to revision ${revision} as soon as that is ready`);
    session.note(`watch it with \`sluice rollouts show ${name} --watch\``);
  }
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
  const step = rollout.steps[rollout.step];
  if (rollout.endedAt) return '-';
  if (rollout.step < 0 || !step) return 'starting';
  return `${rollout.step + 1} of ${rollout.steps.length} (${step})`;
}
