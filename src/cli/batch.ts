import { type Command, Option } from 'commander';
import { type Batch, type BatchSummary, listOf } from './api-types.js';
import { downloadResult } from './batch/download.js';
import { batchPath, batchTable, printBatch } from './batch/print.js';
import { defineSubmit } from './batch/submit.js';
import type { Io } from './io.js';
import { openSession, type Session } from './session.js';
import { integer } from './values.js';

const STATES = ['queued', 'running', 'succeeded', 'failed', 'cancelled'];

/** `sluice batch`. */
export function define(command: Command, io: Io): void {
  defineSubmit(command, io);
  command
    .command('list')
    .description('list batch predictions, newest first')
    .addOption(new Option('--state <state>', 'only these').choices(STATES))
    .option('--limit <n>', 'at most so many', integer(1, 1000), 20)
    .action((options: { state?: string; limit: number }, self: Command) => list(openSession(io, self), options));
  command
    .command('show')
    .description('show a batch prediction: state, progress, result')
    .argument('<batch>')
    .action((id: string, _options: unknown, self: Command) => show(openSession(io, self), id));
  command
    .command('download')
    .description('download the answers of a batch prediction that succeeded')
    .argument('<batch>')
    .requiredOption('-o, --output <file>', 'where to')
    .action((id: string, options: { output: string }, self: Command) =>
      downloadResult(openSession(io, self), id, options.output),
    );
  command
    .command('cancel')
    .description('stop a batch prediction')
    .argument('<batch>')
    .action((id: string, _options: unknown, self: Command) => cancel(openSession(io, self), id));
}

async function list(session: Session, options: { state?: string; limit: number }): Promise<void> {
  const answer = await session.client.get<unknown>('/api/v1/batch-predictions', {
    query: { state: options.state, limit: options.limit },
    signal: session.signal,
  });
  if (session.printedJson(answer)) return;
  batchTable(
    session,
    listOf<BatchSummary>(answer.body, 'batches'),
    'no batch predictions yet; submit one with `sluice batch submit`',
  );
}

async function show(session: Session, id: string): Promise<void> {
  const answer = await session.client.get<Batch>(batchPath(id), { signal: session.signal });
  if (!session.printedJson(answer)) printBatch(session, answer.body);
}

async function cancel(session: Session, id: string): Promise<void> {
  const answer = await session.client.post<{ state: string }>(`${batchPath(id)}/cancel`, { signal: session.signal });
  if (session.printedJson(answer)) return;
  const { state } = answer.body;
  session.printEssential(id, state === 'running' ? `${id} was asked to stop` : `${id} is ${state}`);
}
