import { setTimeout as sleep } from 'node:timers/promises';
import { type Command, Option } from 'commander';
import { listOf } from './api-types.js';
import { CliError } from './exit.js';
import type { Io } from './io.js';
import { openSession, type Session } from './session.js';
import { collect, seconds } from './values.js';

interface Webhook {
  readonly id: string;
  readonly url: string;
  readonly kinds: readonly string[];
  readonly format: string;
  readonly enabled: boolean;
  readonly reason: string;
  readonly createdAt: string;
}

interface Delivery {
  readonly id: string;
  readonly subject: string;
  readonly seq: number | null;
  readonly state: string;
  readonly attempt: number;
  readonly reason: string;
  readonly createdAt: string;
}

const PATH = '/api/v1/webhooks';
const LOOK_MS = 500;

/** `sluice webhooks`. */
export function define(command: Command, io: Io): void {
  command
    .command('add')
    .description('have events posted to an address from now on')
    .argument('<url>')
    .option(
      '--kind <pattern>',
      'a kind of event, or a pattern such as rollout.*; again for more; all when absent',
      collect,
    )
    .addOption(
      new Option('--format <format>', 'CloudEvents as JSON, or their data with the attributes in headers')
        .choices(['cloudevents', 'binary'])
        .default('cloudevents'),
    )
    .action((url: string, options: { kind?: readonly string[]; format: string }, self: Command) =>
      add(openSession(io, self), url, options),
    );
  command
    .command('list')
    .description('list webhooks, and what holds them up')
    .action((_options: unknown, self: Command) => list(openSession(io, self)));
  command
    .command('deliveries')
    .description('list what was posted, newest first')
    .argument('[webhook]', 'only what was posted for this one')
    .action((id: string | undefined, _options: unknown, self: Command) => deliveries(openSession(io, self), id));
  for (const verb of ['enable', 'disable'] as const) {
    command
      .command(verb)
      .description(verb === 'enable' ? 'let a webhook go on from where it was' : 'stop a webhook for a while')
      .argument('<webhook>')
      .action((id: string, _options: unknown, self: Command) => set(openSession(io, self), id, verb === 'enable'));
  }
  command
    .command('test')
    .description('have a test event posted, and say what its receiver answered')
    .argument('<webhook>')
    .option('--wait <time>', 'how long to wait for that', seconds, 30)
    .action((id: string, options: { wait: number }, self: Command) => test(openSession(io, self), id, options.wait));
  command
    .command('delete')
    .description('remove a webhook; what waits for it is not posted')
    .argument('<webhook>')
    .action((id: string, _options: unknown, self: Command) => remove(openSession(io, self), id));
}

async function add(
  session: Session,
  url: string,
  options: { kind?: readonly string[]; format: string },
): Promise<void> {
  const { kind: kinds, format } = options;
  const answer = await session.client.post<{ id: string }>(PATH, {
    json: { url, format, ...(kinds ? { kinds } : {}) },
    signal: session.signal,
  });
  if (session.printedJson(answer)) return;
  session.printEssential(answer.body.id, `${answer.body.id}: events go to ${url} from now on`);
}

async function list(session: Session): Promise<void> {
  const answer = await session.client.get<unknown>(PATH, { signal: session.signal });
  if (session.printedJson(answer)) return;
  session.table(
    listOf<Webhook>(answer.body, 'webhooks'),
    [
      { title: 'webhook', cell: ({ id }) => id },
      { title: 'url', cell: ({ url }) => url },
      { title: 'kinds', cell: ({ kinds }) => kinds.join(' ') },
      { title: 'state', cell: ({ enabled }) => (enabled ? 'enabled' : 'disabled'), state: true },
      { title: 'created', cell: ({ createdAt }) => session.ago(createdAt) },
      { title: 'reason', cell: ({ reason }) => reason },
    ],
    'no webhooks; add one with `sluice webhooks add`',
  );
}

async function read(session: Session, webhook: string | undefined) {
  return session.client.get<unknown>(`${PATH}/deliveries`, { query: { webhook, limit: 50 }, signal: session.signal });
}

async function deliveries(session: Session, webhook: string | undefined): Promise<void> {
  const answer = await read(session, webhook);
  if (session.printedJson(answer)) return;
  session.table(
    listOf<Delivery>(answer.body, 'deliveries'),
    [
      { title: 'delivery', cell: ({ id }) => id },
      { title: 'event', cell: ({ seq }) => (seq === null ? '-' : String(seq)), right: true },
      { title: 'of', cell: ({ subject }) => subject },
      { title: 'state', cell: ({ state }) => state, state: true },
      { title: 'tries', cell: ({ attempt }) => String(attempt), right: true },
      { title: 'when', cell: ({ createdAt }) => session.ago(createdAt) },
      { title: 'reason', cell: ({ reason }) => reason },
    ],
    'nothing was posted',
  );
}

async function set(session: Session, id: string, enabled: boolean): Promise<void> {
  const answer = await session.client.put<unknown>(`${PATH}/${encodeURIComponent(id)}`, {
    json: { enabled },
    signal: session.signal,
  });
  if (session.printedJson(answer)) return;
  session.print(`${id} is ${enabled ? 'enabled' : 'disabled'}`);
}

/** The test stands behind what waits already: it is the next delivery of its own subject. */
async function test(session: Session, id: string, waitSec: number): Promise<void> {
  const own = async () =>
    listOf<Delivery>((await read(session, id)).body, 'deliveries').filter(({ subject }) => subject === `webhook/${id}`);
  const before = new Set((await own()).map((delivery) => delivery.id));
  await session.client.post(`${PATH}/${encodeURIComponent(id)}/test`, { signal: session.signal });
  const until = session.io.now() + waitSec * 1000;
  for (;;) {
    const delivery = (await own()).find((one) => !before.has(one.id));
    if (delivery && (delivery.state !== 'queued' || delivery.attempt > 0)) {
      if (delivery.state !== 'delivered') throw new CliError(`${id} was not delivered: ${delivery.reason}`);
      session.printEssential(delivery.id, `${id} was delivered: its receiver ${delivery.reason}`);
      return;
    }
    if (session.io.now() >= until)
      throw new CliError(`${id} was not posted within ${waitSec} s: \`sluice webhooks list\` says what holds it up`);
    await sleep(LOOK_MS, undefined, { signal: session.signal });
  }
}

async function remove(session: Session, id: string): Promise<void> {
  const answer = await session.client.delete<unknown>(`${PATH}/${encodeURIComponent(id)}`, { signal: session.signal });
  if (session.printedJson(answer)) return;
  session.print(`${id} is removed`);
}
