import type { Command } from 'commander';
import { type Dataset, type DatasetVersion, listOf } from './api-types.js';
import type { Io } from './io.js';
import { bytes } from './print/text.js';
import { openSession, type Session } from './session.js';
import { uploadFile } from './upload.js';

/** `sluice datasets`. */
export function define(command: Command, io: Io): void {
  command
    .command('push')
    .description('upload a file as a new version of a dataset; the same bytes again are the same version')
    .argument('<file>', 'for gates: an inference request as JSON, with the expected outputs')
    .requiredOption('--name <dataset>', 'name of the dataset')
    .action((file: string, options: { name: string }, self: Command) =>
      push(openSession(io, self), file, options.name),
    );
  command
    .command('list')
    .description('list all datasets')
    .action((_options: unknown, self: Command) => list(openSession(io, self)));
}

async function push(session: Session, file: string, name: string): Promise<void> {
  const { digest } = await uploadFile(session, file);
  const answer = await session.client.post<DatasetVersion>(`/api/v1/datasets/${encodeURIComponent(name)}/versions`, {
    json: { digest },
    signal: session.signal,
  });
  if (session.printedJson(answer)) return;
  const { version } = answer.body;
  const how = answer.status === 200 ? 'is the newest already' : 'added';
  session.printEssential(String(version), `${name} version ${version} ${how} (${digest.slice(0, 19)})`);
}

async function list(session: Session): Promise<void> {
  const answer = await session.client.get<unknown>('/api/v1/datasets', { signal: session.signal });
  if (session.printedJson(answer)) return;
  session.table(
    listOf<Dataset>(answer.body, 'datasets').flatMap(({ name, versions }) => {
      const newest = versions[0];
      return newest ? [{ name, ...newest }] : [];
    }),
    [
      { title: 'dataset', cell: (set) => set.name },
      { title: 'version', cell: (set) => String(set.version), right: true },
      { title: 'size', cell: (set) => bytes(set.bytes), right: true },
      { title: 'added', cell: (set) => session.ago(set.createdAt) },
      { title: 'digest', cell: (set) => set.digest.slice(0, 19) },
    ],
    'no datasets yet; push one with `sluice datasets push`',
  );
}
