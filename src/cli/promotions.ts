import type { Command } from 'commander';
import { type Endpoint, listOf, type MadeHook } from './api-types.js';
import type { Io } from './io.js';
import { resolveVersion } from './resolve.js';
import type { Hook, Promotion } from './rollout-types.js';
import { openSession, type Session } from './session.js';
import { integer } from './values.js';
import { mustBe, untilPromotionEnded } from './wait.js';

const VOTES = [
  ['approve', 'approve a promotion whose gates have passed'],
  ['reject', 'reject a promotion whose gates have passed'],
] as const;

interface ListOptions {
  readonly endpoint?: string;
  readonly state?: string;
  readonly limit: number;
}

interface RequestOptions {
  readonly version: string;
  readonly wait?: boolean;
}

/** `sluice promotions`. */
export function define(command: Command, io: Io): void {
  command
    .command('list')
    .description('list promotions, newest first')
    .option('--endpoint <name>', 'only of this endpoint')
    .option('--state <state>', 'only in this state, such as awaiting_approval')
    .option('--limit <n>', 'at most so many', integer(1, 1000), 20)
    .action((options: ListOptions, self: Command) => list(openSession(io, self), options));
  command
    .command('show')
    .description('show a promotion: its gates with their reasons, who approved it')
    .argument('<promotion>')
    .action((id: string, _options: unknown, self: Command) => show(openSession(io, self), id));
  command
    .command('request')
    .description('take a model version to an endpoint: gates, approval, rollout')
    .argument('<endpoint>')
    .requiredOption('--version <version>', 'model version: a number, "latest" or an alias')
    .option('--wait', 'stay until it ends; the exit code says whether it was promoted')
    .action((endpoint: string, options: RequestOptions, self: Command) =>
      request(openSession(io, self), endpoint, options),
    );
  for (const [verb, text] of VOTES) {
    command
      .command(verb)
      .description(text)
      .argument('<promotion>')
      .option('--comment <text>', 'why, for the record', '')
      .action((id: string, { comment }: { comment: string }, self: Command) =>
        vote(openSession(io, self), id, verb, comment),
      );
  }
  defineHooks(command, io);
}

function defineHooks(command: Command, io: Io): void {
  const hooks = command.command('hooks').description('addresses that open promotions of one endpoint, without a key');
  hooks
    .command('create')
    .description('make one; its address is shown this once')
    .argument('<endpoint>')
    .requiredOption('--name <name>', 'who will use it')
    .action(async (endpoint: string, { name }: { name: string }, self: Command) => {
      const session = openSession(io, self);
      const answer = await session.client.post<MadeHook>(hooksOf(endpoint), { json: { name }, signal: session.signal });
      if (!session.printedJson(answer)) printHook(session, answer.body);
    });
  hooks
    .command('list')
    .description('list the hooks of an endpoint')
    .argument('<endpoint>')
    .action((endpoint: string, _options: unknown, self: Command) => listHooks(openSession(io, self), endpoint));
  hooks
    .command('rotate')
    .description('give a hook another address; the old one opens nothing any more')
    .argument('<endpoint>')
    .argument('<hook>')
    .action(async (endpoint: string, hook: string, _options: unknown, self: Command) => {
      const session = openSession(io, self);
      const path = `${hooksOf(endpoint)}/${encodeURIComponent(hook)}/rotate`;
      const answer = await session.client.post<MadeHook>(path, { signal: session.signal });
      if (!session.printedJson(answer)) printHook(session, answer.body);
    });
  hooks
    .command('revoke')
    .description('revoke a hook')
    .argument('<endpoint>')
    .argument('<hook>')
    .action(async (endpoint: string, hook: string, _options: unknown, self: Command) => {
      const session = openSession(io, self);
      const path = `${hooksOf(endpoint)}/${encodeURIComponent(hook)}`;
      const answer = await session.client.delete(path, { signal: session.signal });
      if (!session.printedJson(answer)) session.print(`${hook} opens nothing any more`);
    });
}

async function list(session: Session, options: ListOptions): Promise<void> {
  const answer = await session.client.get<unknown>('/api/v1/promotions', {
    query: { endpoint: options.endpoint, state: options.state, limit: options.limit },
    signal: session.signal,
  });
  if (session.printedJson(answer)) return;
  session.table(
    listOf<Promotion>(answer.body, 'promotions'),
    [
      { title: 'promotion', cell: (one) => one.id },
      { title: 'endpoint', cell: (one) => one.endpoint },
      { title: 'version', cell: (one) => String(one.version), right: true },
      { title: 'state', cell: (one) => one.state, state: true },
      { title: 'opened by', cell: openedBy },
      { title: 'opened', cell: (one) => session.ago(one.createdAt) },
      { title: 'reason', cell: (one) => one.reason },
    ],
    'no promotions yet; ask for one with `sluice promotions request`',
  );
}

async function show(session: Session, id: string): Promise<void> {
  const answer = await session.client.get<Promotion>(`/api/v1/promotions/${encodeURIComponent(id)}`, {
    signal: session.signal,
  });
  if (session.printedJson(answer)) return;
  const one = answer.body;
  session.facts([
    ['promotion', one.id],
    ['endpoint', one.endpoint],
    ['model', `${one.model}, version ${one.version}`],
    ['state', one.state],
    ['opened', `${session.ago(one.createdAt)} by ${openedBy(one)}`],
    ['judged against', one.champion === null ? undefined : `version ${one.champion}`],
    [
      'approval',
      one.approval ? `${one.approval.kind}${one.approval.by ? ` of ${one.approval.by.join(', ')}` : ''}` : undefined,
    ],
    ['until', one.state === 'awaiting_approval' ? (one.expiresAt ?? undefined) : undefined],
    ['rollout', one.rolloutId ?? undefined],
    ['ended', one.endedAt ? session.ago(one.endedAt) : undefined],
    ['reason', one.reason],
  ]);
  if (one.gates.length > 0) session.print('');
  session.table(
    one.gates,
    [
      { title: 'gate', cell: (gate) => gate.gate },
      { title: 'outcome', cell: (gate) => (gate.passed ? 'passed' : 'not passed'), state: true },
      { title: 'why', cell: (gate) => gate.reason },
    ],
    'no gate was checked yet',
  );
  const approvals = one.approvals ?? [];
  if (approvals.length === 0) return;
  session.print('');
  session.table(
    approvals,
    [
      { title: 'who', cell: (said) => said.actor },
      { title: 'said', cell: (said) => said.vote },
      { title: 'when', cell: (said) => session.ago(said.at) },
      { title: 'comment', cell: (said) => said.comment },
    ],
    '',
  );
}

async function request(session: Session, endpoint: string, { version: text, wait }: RequestOptions): Promise<void> {
  const path = `/api/v1/endpoints/${encodeURIComponent(endpoint)}`;
  const { model } = (await session.client.get<Endpoint>(path, { signal: session.signal })).body;
  const { version } = await resolveVersion(session, model, text);
  const answer = await session.client.post<{ promotion: string }>(`${path}/promotions`, {
    json: { version },
    signal: session.signal,
  });
  const { promotion } = answer.body;
  const words = `${promotion}: version ${version} of ${model} is on its way to ${endpoint}`;
  if (!wait) {
    if (!session.printedJson(answer)) session.printEssential(promotion, words);
    return;
  }
  session.note(words);
  const end = await untilPromotionEnded(session, promotion);
  if (!session.printedJson(end)) session.printEssential(promotion, `${promotion} is ${end.body.state}`);
  mustBe('promoted', promotion, end.body.state, end.body.reason);
}

async function vote(session: Session, id: string, verb: string, comment: string): Promise<void> {
  const answer = await session.client.post<{ state: string }>(`/api/v1/promotions/${encodeURIComponent(id)}/${verb}`, {
    json: { comment },
    signal: session.signal,
  });
  if (session.printedJson(answer)) return;
  session.printEssential(id, `${id} is ${answer.body.state}`);
}

async function listHooks(session: Session, endpoint: string): Promise<void> {
  const answer = await session.client.get<unknown>(hooksOf(endpoint), { signal: session.signal });
  if (session.printedJson(answer)) return;
  session.table(
    listOf<Hook>(answer.body, 'hooks'),
    [
      { title: 'hook', cell: (hook) => hook.id },
      { title: 'name', cell: (hook) => hook.name },
      { title: 'token', cell: (hook) => hook.hint },
      { title: 'made', cell: (hook) => session.ago(hook.createdAt) },
      { title: 'uses', cell: (hook) => String(hook.uses), right: true },
      { title: 'used', cell: (hook) => (hook.usedAt ? session.ago(hook.usedAt) : 'never') },
    ],
    'it has none',
  );
}

function printHook(session: Session, { id, path }: MadeHook): void {
  session.printEssential(`${session.client.url}${path}`, `${id}: POST ${session.client.url}${path}`);
  session.note('this is the only time that the address is shown');
}

function openedBy({ requestedBy, trigger }: Promotion): string {
  return requestedBy ?? trigger.name ?? trigger.job ?? trigger.alias ?? trigger.cron ?? trigger.on;
}

function hooksOf(endpoint: string): string {
  return `/api/v1/endpoints/${encodeURIComponent(endpoint)}/hooks`;
}
