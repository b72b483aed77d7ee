import { readFile } from 'node:fs/promises';
import type { Command } from 'commander';
import type { TensorSpec } from './api-types.js';
import type { Answer } from './client.js';
import { parseExact, showExact, stringifyExact } from './exact-json.js';
import { usageError } from './exit.js';
import type { Io } from './io.js';
import { buildRequest, isRequest } from './predict/request.js';
import { openSession, type Session } from './session.js';
import { collect, integer } from './values.js';

interface PredictOptions {
  readonly input?: string;
  readonly data?: string;
  readonly revision?: number;
  readonly tag?: string;
  readonly header?: readonly string[];
}

interface Output {
  readonly name: string;
  readonly datatype: string;
  readonly shape: readonly number[];
  readonly data: readonly unknown[];
}

/** Rows of an output that are shown to people. */
const SHOWN_ROWS = 20;
const SHOWN_VALUES = 12;

/** `sluice predict`. */
export function define(command: Command, io: Io): void {
  command
    .summary('send a prediction')
    .description(
      'Send a prediction and print its outputs. The input is a whole Open Inference Protocol request, or only data: ' +
        'an array, or an object with an array per input; the rest is filled in from what the endpoint says it takes.',
    )
    .argument('<endpoint>')
    .option('-i, --input <file>', 'file with the input; - reads standard input')
    .option('-d, --data <json>', "the input itself, such as '[[1, 2, 3]]'; - reads standard input")
    .option('--revision <n>', 'ask this revision, whatever the traffic', integer(1))
    .option('--tag <tag>', 'ask the traffic target with this tag')
    .option('-H, --header <line>', "a header such as 'X-User: 42', for sticky routing; again for more", collect)
    .action((endpoint: string, options: PredictOptions, self: Command) =>
      predict(openSession(io, self), endpoint, options),
    );
}

async function predict(session: Session, endpoint: string, options: PredictOptions): Promise<void> {
  const { client, signal } = session;
  const text = await readInput(session, options);
  const given = parsed(text);
  const path = `/v2/models/${encodeURIComponent(endpoint)}${options.revision === undefined ? '' : `/versions/${options.revision}`}`;
  let body = text;
  if (!isRequest(given)) {
    const metadata = await client.get<{ inputs: readonly TensorSpec[] }>(path, { signal });
    body = stringifyExact(buildRequest(given, metadata.body.inputs, endpoint));
  }
  const answer = await client.post<unknown>(`${path}/infer`, {
    text: body,
    headers: { ...(options.tag ? { 'sluice-tag': options.tag } : {}), ...headers(options.header ?? []) },
    timeoutMs: 600_000,
    signal,
  });
  if (session.printedJson(answer)) return;
  for (const output of outputsOf(answer)) printOutput(session, output);
  session.note(`answered by revision ${answer.headers.get('sluice-revision') ?? 'unknown'}${modelVersion(answer)}`);
}

async function readInput(session: Session, options: PredictOptions): Promise<string> {
  if ((options.input === undefined) === (options.data === undefined)) {
    throw usageError('say what to predict with either --input FILE or --data JSON');
  }
  if (options.input === '-' || options.data === '-') return (await session.io.stdin()).toString('utf8');
  if (options.data !== undefined) return options.data;
  const file = options.input ?? '';
  return readFile(file, 'utf8').catch(() => {
    throw usageError(`cannot read the file ${file}`);
  });
}

function parsed(text: string): unknown {
  try {
    return parseExact(text);
  } catch (error) {
    throw usageError(`the input is not JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function headers(lines: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    lines.map((line) => {
      const [, name, value] = /^([A-Za-z0-9-]+): *([\x20-\x7e]*)$/.exec(line) ?? [];
      if (name === undefined || value === undefined) throw usageError(`--header "${line}" is not "Name: value"`);
      return [name.toLowerCase(), value];
    }),
  );
}

function outputsOf(answer: Answer<unknown>): readonly Output[] {
  const body = parsed(answer.text);
  return typeof body === 'object' && body !== null && 'outputs' in body && Array.isArray(body.outputs)
    ? (body.outputs as Output[])
    : [];
}

/** One line per row of the first dimension; long rows and outputs are cut, `--json` has them whole. */
function printOutput(session: Session, { name, datatype, shape, data }: Output): void {
  const { style } = session;
  const flat = data.flat(Number.POSITIVE_INFINITY);
  const [rows = 1, ...rest] = shape;
  const size = rest.reduce((product, each) => product * each, 1);
  const lines = [`${style.bold(name)} ${style.dim(`${datatype}[${shape.join(', ')}]`)}`];
  for (let row = 0; row < Math.min(rows, SHOWN_ROWS); row++) {
    const values = flat.slice(row * size, (row + 1) * size);
    const more = values.length > SHOWN_VALUES ? ` … ${values.length - SHOWN_VALUES} more` : '';
    lines.push(`  ${values.slice(0, SHOWN_VALUES).map(showValue).join('  ')}${more}`);
  }
  if (rows > SHOWN_ROWS) lines.push(style.dim(`  … ${rows - SHOWN_ROWS} more rows (--json has them all)`));
  session.printEssential(stringifyExact(data), lines.join('\n'));
}

function showValue(value: unknown): string {
  return typeof value === 'number' && !Number.isInteger(value)
    ? String(Number(value.toPrecision(6)))
    : showExact(value);
}

function modelVersion(answer: Answer<unknown>): string {
  const version = answer.headers.get('sluice-model-version');
  return version ? ` (model version ${version})` : '';
}
