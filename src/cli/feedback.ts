import { readFile } from 'node:fs/promises';
import { type Command, InvalidArgumentError } from 'commander';
import { usageError } from './exit.js';
import type { Io } from './io.js';
import { number } from './print/text.js';
import { openSession, type Session } from './session.js';
import { defined, integer, type Param, seconds } from './values.js';

interface SendOptions {
  readonly input?: string;
  readonly token?: string;
  readonly revision?: number;
  readonly request?: string;
  readonly id?: string;
  readonly reward?: number;
  readonly label?: Param;
  readonly prediction?: Param;
}

interface Mean {
  readonly count: number;
  readonly mean: number | null;
  readonly low: number;
  readonly high: number;
}

interface Summary {
  readonly revisions: readonly { readonly revision: number; readonly reward: Mean; readonly accuracy: Mean }[];
  readonly bandit: { readonly reason: string; readonly changedAt: string | null } | null;
}

/** Items that the API takes at once. */
const AT_ONCE = 1000;

/** `sluice feedback`. */
export function define(command: Command, io: Io): void {
  command
    .command('send')
    .description('report what came of one prediction, or of many from a file of JSON lines')
    .argument('<endpoint>')
    .option('-i, --input <file>', 'file with one report in JSON on each line; - reads standard input')
    .option('--token <token>', "the answer's sluice-feedback header")
    .option('--revision <n>', "the answer's sluice-revision header, where there is no token", integer(1))
    .option('--request <id>', "the answer's x-request-id header")
    .option('--id <id>', 'what has the same id is counted once')
    .option('--reward <number>', 'how good the answer was, from 0 to 1', share)
    .option('--label <value>', 'what would have been right', value)
    .option('--prediction <value>', 'what the model said', value)
    .action((endpoint: string, options: SendOptions, self: Command) => send(openSession(io, self), endpoint, options));
  command
    .command('show')
    .description('show what was reported of each revision')
    .argument('<endpoint>')
    .option('--window <time>', 'how far back, such as 1h or 7d', seconds, 86_400)
    .action((endpoint: string, options: { window: number }, self: Command) =>
      show(openSession(io, self), endpoint, options.window),
    );
}

function share(text: string): number {
  const given = Number(text);
  if (text.trim() !== '' && given >= 0 && given <= 1) return given;
  throw new InvalidArgumentError('Expected a number from 0 to 1.');
}

function value(text: string): Param {
  try {
    const read: unknown = JSON.parse(text);
    if (typeof read === 'boolean' || typeof read === 'string' || typeof read === 'number') return read;
  } catch {
    // plain text
  }
  return text;
}

async function send(session: Session, endpoint: string, options: SendOptions): Promise<void> {
  const { input, request, ...one } = options;
  const items = input === undefined ? [fieldsOf(one, request)] : await readLines(session, input);
  if (items.length === 0) throw usageError(`there is no report in ${input}`);
  const sum = { counted: 0, duplicates: 0 };
  for (let at = 0; at < items.length; at += AT_ONCE) {
    const answer = await session.client.post<typeof sum>(pathOf(endpoint), {
      json: items.slice(at, at + AT_ONCE),
      signal: session.signal,
    });
    session.printedJson(answer);
    sum.counted += answer.body.counted;
    sum.duplicates += answer.body.duplicates;
  }
  const twice = sum.duplicates === 0 ? '' : `, ${sum.duplicates} were known`;
  session.print(`${sum.counted} counted${twice}`);
}

function fieldsOf({ token, revision, id, reward, label, prediction }: SendOptions, requestId: string | undefined) {
  return defined({ token, revision, requestId, id, reward, label, prediction });
}

async function readLines({ io }: Session, file: string): Promise<unknown[]> {
  const bytes =
    file === '-'
      ? await io.stdin()
      : await readFile(file).catch(() => {
          throw usageError(`cannot read the file ${file}`);
        });
  return bytes
    .toString('utf8')
    .split('\n')
    .flatMap((line, at): unknown[] => {
      if (line.trim() === '') return [];
      try {
        return [JSON.parse(line) as unknown];
      } catch {
        throw usageError(`line ${at + 1} of ${file} is not JSON`);
      }
    });
}

async function show(session: Session, endpoint: string, windowSec: number): Promise<void> {
  const answer = await session.client.get<Summary>(pathOf(endpoint), { query: { windowSec }, signal: session.signal });
  if (session.printedJson(answer)) return;
  const { revisions, bandit } = answer.body;
  session.table(
    revisions,
    [
      { title: 'revision', cell: ({ revision }) => String(revision), right: true },
      { title: 'rewards', cell: ({ reward }) => String(reward.count), right: true },
      { title: 'mean', cell: ({ reward }) => meanText(reward) },
      { title: 'labels', cell: ({ accuracy }) => String(accuracy.count), right: true },
      { title: 'accuracy', cell: ({ accuracy }) => meanText(accuracy) },
    ],
    'nothing was reported',
  );
  if (bandit)
    session.facts([
      ['traffic', bandit.reason],
      ['changed', session.ago(bandit.changedAt)],
    ]);
}

function meanText({ mean, low, high }: Mean): string {
  return mean === null ? '-' : `${number(mean, 4)} (${number(low, 4)} to ${number(high, 4)})`;
}

function pathOf(endpoint: string): string {
  return `/api/v1/endpoints/${encodeURIComponent(endpoint)}/feedback`;
}
