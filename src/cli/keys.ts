import { type Command, Option } from 'commander';
import { type Key, listOf } from './api-types.js';
import type { Io } from './io.js';
import { openSession, type Session } from './session.js';
import { seconds } from './values.js';

interface CreateOptions {
  readonly role: string;
  readonly expires?: number;
}

/** `sluice keys`. */
export function define(command: Command, io: Io): void {
  command
    .command('create')
    .description('create an API key; it is shown this once')
    .argument('<name>', 'who or what uses it')
    .addOption(
      new Option('--role <role>', 'admin may do everything, predict only predictions')
        .choices(['admin', 'predict'])
        .default('predict'),
    )
    .option('--expires <time>', 'how long it lasts, such as 90d; for ever when absent', seconds)
    .action((name: string, options: CreateOptions, self: Command) => create(openSession(io, self), name, options));
  command
    .command('list')
    .description('list keys by their first characters')
    .action((_options: unknown, self: Command) => list(openSession(io, self)));
  command
    .command('revoke')
    .description('revoke a key at once')
    .argument('<id>', 'its id, as `keys list` shows it')
    .action((id: string, _options: unknown, self: Command) => revoke(openSession(io, self), id));
}

async function create(session: Session, name: string, options: CreateOptions): Promise<void> {
  const expiresAt =
    options.expires === undefined ? undefined : new Date(session.io.now() + options.expires * 1000).toISOString();
  const answer = await session.client.post<{ id: string; key: string }>('/api/v1/keys', {
    json: { name, role: options.role, ...(expiresAt ? { expiresAt } : {}) },
    signal: session.signal,
  });
  if (session.printedJson(answer)) return;
  session.printEssential(answer.body.key, answer.body.key);
  session.note(`${answer.body.id}: role ${options.role}; this key is shown once, keep it now`);
}

async function list(session: Session): Promise<void> {
  const answer = await session.client.get<unknown>('/api/v1/keys', { signal: session.signal });
  if (session.printedJson(answer)) return;
  session.table(
    listOf<Key>(answer.body, 'keys'),
    [
      { title: 'id', cell: (key) => key.id },
      { title: 'name', cell: (key) => key.name },
      { title: 'role', cell: (key) => key.role },
      { title: 'key', cell: (key) => key.hint ?? '-' },
      { title: 'created', cell: (key) => session.ago(key.createdAt) },
      { title: 'expires', cell: (key) => (key.expiresAt ? session.ago(key.expiresAt) : 'never') },
      { title: 'revoked', cell: (key) => session.ago(key.revokedAt) },
    ],
    'no keys',
  );
}

async function revoke(session: Session, id: string): Promise<void> {
  const answer = await session.client.delete<unknown>(`/api/v1/keys/${encodeURIComponent(id)}`, {
    signal: session.signal,
  });
  if (session.printedJson(answer)) return;
  session.print(`${id} is revoked`);
}
