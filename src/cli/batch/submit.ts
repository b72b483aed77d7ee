/** `sluice batch submit`. */
import { randomUUID } from 'node:crypto';
import { extname } from 'node:path';
import { type Command, Option } from 'commander';
import type { Batch } from '../api-types.js';
import type { Answer } from '../client.js';
import { usageError } from '../exit.js';
import type { Io } from '../io.js';
import { openSession, type Session } from '../session.js';
import { uploadFile } from '../upload.js';
import { collect, defined, integer, pair, seconds } from '../values.js';
import { mustBe, staying, untilEnded } from '../wait.js';
import { downloadResult } from './download.js';
import { batchPath, printBatch, rowsText } from './print.js';

const FORMATS = ['jsonl', 'csv', 'parquet', 'npy'];
const BY_EXTENSION: Readonly<Record<string, string>> = {
  '.jsonl': 'jsonl',
  '.ndjson': 'jsonl',
  '.csv': 'csv',
  '.parquet': 'parquet',
  '.pq': 'parquet',
  '.npy': 'npy',
};

interface SubmitOptions {
  readonly endpoint: string;
  readonly revision?: number;
  readonly name?: string;
  readonly format?: string;
  readonly outputFormat?: string;
  readonly output?: string;
  readonly keep?: readonly string[];
  readonly column?: Readonly<Record<string, string | string[]>>;
  readonly rowsPerRequest?: number;
  readonly concurrency?: number;
  readonly timeLimit?: number;
  readonly onError?: string;
  readonly idempotencyKey?: string;
  readonly follow?: boolean;
}

/** Adds the subcommand. */
export function defineSubmit(command: Command, io: Io): void {
  command
    .command('submit')
    .summary('predict every row of a file')
    .description(
      'Upload a file unless the gateway has it, and predict each of its rows. The answers are a file of as many rows, in ' +
        'the same order.',
    )
    .argument('<file>')
    .requiredOption('--endpoint <name>', 'who answers')
    .option('-o, --output <file>', 'wait for the end and bring the answers here')
    .addOption(new Option('--format <format>', 'of the file; default: by its name').choices(FORMATS))
    .addOption(
      new Option(
        '--output-format <format>',
        'of the answers; default: by the name of --output, else as the file',
      ).choices(FORMATS),
    )
    .option('--column <input=columns>', 'columns of an input of the model, such as x=a,b,c; again for more', columns)
    .option('--keep <output>', 'an output of the model to keep; again for more; default: all', collect)
    .option('--revision <n>', 'which revision answers; default: the one with the most traffic', integer(1))
    .option('--name <name>', 'what people call it; default: the endpoint')
    .option('--rows-per-request <n>', 'default: about 1000, as it goes', integer(1, 100_000))
    .option('--concurrency <n>', 'requests under way at once; default: 8', integer(1, 64))
    .option('--time-limit <time>', 'longest time to its end, such as 30m or 2h; default: 1d', seconds)
    .addOption(
      new Option('--on-error <what>', 'a row that fails: fail the batch, or make it a row of nulls').choices([
        'fail',
        'null',
      ]),
    )
    .option('--idempotency-key <text>', 'the same key again is the same batch, not a second one')
    .option('-f, --follow', 'wait until it ends; the exit code says whether it succeeded')
    .action((file: string, options: SubmitOptions, self: Command) => submit(openSession(io, self), file, options));
}

async function submit(session: Session, file: string, options: SubmitOptions): Promise<void> {
  const format = options.format ?? formatOf(file, 'say what it is with --format');
  const outputFormat =
    options.outputFormat ??
    (options.output === undefined ? format : formatOf(options.output, 'say what it is to be with --output-format'));
  const { digest } = await uploadFile(session, file);
  const json = {
    endpoint: options.endpoint,
    input: { digest, format, ...(options.column ? { columns: options.column } : {}) },
    output: { format: outputFormat, ...(options.keep ? { outputs: options.keep } : {}) },
    ...defined({
      name: options.name,
      revision: options.revision,
      rowsPerRequest: options.rowsPerRequest,
      concurrency: options.concurrency,
      timeLimitSec: options.timeLimit,
      onError: options.onError,
    }),
  };
  const answer = await session.client.post<{ id: string; state: string }>('/api/v1/batch-predictions', {
    json,
    // always a key, so that a broken connection can be tried again without a second batch
    headers: { 'idempotency-key': options.idempotencyKey ?? randomUUID() },
    signal: session.signal,
  });
  const { id, state } = answer.body;
  const again = answer.status === 200 ? ', submitted before' : '';
  if (options.follow || options.output !== undefined) {
    session.note(`${id}: ${state}${again}`);
    return follow(session, id, options.output);
  }
  if (session.printedJson(answer)) return;
  session.printEssential(id, `${id} ${state}${again}`);
  session.note(`look at it with \`sluice batch show ${id}\``);
}

function formatOf(file: string, hint: string): string {
  const format = BY_EXTENSION[extname(file).toLowerCase()];
  if (format) return format;
  throw usageError(`what ${file} holds cannot be told from its name`, hint);
}

/** Waits for the end, prints it, brings the answers, and fails unless it succeeded. */
async function follow(session: Session, id: string, output: string | undefined): Promise<void> {
  const leaving = `${id} goes on without you: \`sluice batch show ${id}\`, or \`sluice batch cancel ${id}\``;
  const end = await staying(session, leaving, () => untilBatchEnded(session, id));
  const { state, reason } = end.body;
  if (!session.printedJson(end)) {
    if (session.quiet) session.printEssential(id, id);
    else printBatch(session, end.body);
  }
  mustBe('succeeded', id, state, reason);
  if (output !== undefined) await downloadResult(session, id, output);
}

/** Says how far it is whenever that has changed by a twentieth. */
function untilBatchEnded(session: Session, id: string): Promise<Answer<Batch>> {
  let last = '';
  return untilEnded<Batch>(session, batchPath(id), (batch) => {
    const { rowsDone, rowsTotal, phase, state } = batch;
    const step = rowsTotal ? Math.floor((20 * rowsDone) / rowsTotal) : 0;
    const key = `${state} ${phase} ${step}`;
    if (key === last) return;
    last = key;
    const speed = batch.rowsPerSecond > 0 ? `, ${Math.round(batch.rowsPerSecond)} rows/s` : '';
    session.note(`${id}: ${state}${phase ? `, ${phase}` : ''}, ${rowsText(batch)} rows${speed}`);
  });
}

function columns(
  text: string,
  before: Readonly<Record<string, string | string[]>> | undefined,
): Record<string, string | string[]> {
  const [input, value] = pair(text);
  return { ...before, [input]: value.includes(',') ? value.split(',') : value };
}
