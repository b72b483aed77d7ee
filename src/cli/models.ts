import type { Command } from 'commander';
import {
  type AliasChange,
  listOf,
  type Model,
  type ModelSummary,
  type ModelVersion,
  type TensorSpec,
} from './api-types.js';
import { usageError } from './exit.js';
import type { Io } from './io.js';
import { bytes, number } from './print/text.js';
import { resolveVersion } from './resolve.js';
import { readServerFile } from './server-file.js';
import { openSession, type Session } from './session.js';
import { uploadModel } from './upload.js';
import { numberPairs } from './values.js';

interface PushOptions {
  readonly name: string;
  readonly server?: string;
  readonly metric?: Record<string, number>;
}

interface AliasOptions {
  readonly reason?: string;
}

/** `sluice models`. */
export function define(command: Command, io: Io): void {
  command
    .command('push')
    .description('upload a model and register it as a new version; it is loaded once to see that it can be')
    .argument(
      '[path]',
      'an .onnx file, a model of Python (see docs/python-models.md), or a folder: with a model and the files it needs, or a TensorFlow SavedModel',
    )
    .requiredOption('--name <model>', 'name in the registry')
    .option(
      '--server <file>',
      'YAML or JSON of a server of your own that serves it (see docs/engines.md); <path> is then its files, if any',
    )
    .option('--metric <name=value>', 'a metric of this version; again for more', numberPairs)
    .action((path: string | undefined, options: PushOptions, self: Command) =>
      push(openSession(io, self), path, options),
    );
  command
    .command('list')
    .description('list all models')
    .action((_options: unknown, self: Command) => list(openSession(io, self)));
  command
    .command('show')
    .description('show a model: its versions, their metrics, its aliases')
    .argument('<model>')
    .action((model: string, _options: unknown, self: Command) => show(openSession(io, self), model));
  command
    .command('card')
    .description("print a version's card: how it was made, what it showed, who approved it, where it served")
    .argument('<model>')
    .argument('<version>', 'a number, "latest" or an alias')
    .action((model: string, version: string, _options: unknown, self: Command) =>
      card(openSession(io, self), model, version),
    );
  const alias = command.command('alias').description('names that move from version to version, such as champion');
  alias
    .command('set')
    .description('point an alias at a version, if nobody else moved it meanwhile')
    .argument('<model>')
    .argument('<alias>')
    .argument('<version>', 'a number, "latest" or another alias')
    .option('--reason <text>', 'why, for the record')
    .action((model: string, name: string, version: string, options: AliasOptions, self: Command) =>
      setAlias(openSession(io, self), model, name, version, options),
    );
  alias
    .command('delete')
    .description('delete an alias; its history stays')
    .argument('<model>')
    .argument('<alias>')
    .action((model: string, name: string, _options: unknown, self: Command) =>
      deleteAlias(openSession(io, self), model, name),
    );
  alias
    .command('history')
    .description('show where an alias pointed, when, and who moved it')
    .argument('<model>')
    .argument('<alias>')
    .action((model: string, name: string, _options: unknown, self: Command) =>
      history(openSession(io, self), model, name),
    );
}

async function push(session: Session, path: string | undefined, options: PushOptions): Promise<void> {
  if (path === undefined && options.server === undefined) {
    throw usageError('what is the model? give its path, or a server of your own with --server');
  }
  const server = options.server === undefined ? undefined : await readServerFile(options.server);
  const files = path === undefined ? [] : await uploadModel(session, path);
  const answer = await session.client.post<ModelVersion>(
    `/api/v1/models/${encodeURIComponent(options.name)}/versions`,
    {
      json: { files, ...(server ? { server } : {}), ...(options.metric ? { metrics: options.metric } : {}) },
      signal: session.signal,
      timeoutMs: 900_000,
    },
  );
  if (session.printedJson(answer)) return;
  const { version, signature } = answer.body;
  const how = answer.status === 200 ? 'was registered before' : 'registered';
  session.printEssential(
    String(version),
    [`${options.name} version ${version} ${how}`, signatureText(signature) ?? []].flat().join(': '),
  );
}

async function list(session: Session): Promise<void> {
  const answer = await session.client.get<unknown>('/api/v1/models', { signal: session.signal });
  if (session.printedJson(answer)) return;
  session.table(
    listOf<ModelSummary>(answer.body, 'models'),
    [
      { title: 'model', cell: (model) => model.name },
      { title: 'versions', cell: (model) => String(model.lastVersion), right: true },
      { title: 'created', cell: (model) => session.ago(model.createdAt) },
      { title: 'description', cell: (model) => model.description },
    ],
    'no models yet; push one with `sluice models push`',
  );
}

async function show(session: Session, name: string): Promise<void> {
  const answer = await session.client.get<Model>(`/api/v1/models/${encodeURIComponent(name)}`, {
    signal: session.signal,
  });
  if (session.printedJson(answer)) return;
  const model = answer.body;
  const newest = model.versions[0]?.signature;
  session.facts([
    ['model', model.name],
    ['description', model.description],
    ['created', session.ago(model.createdAt)],
    ['aliases', aliasText(model.aliases)],
    ['signature', signatureText(newest)],
  ]);
  session.print('');
  session.table(
    model.versions,
    [
      { title: 'version', cell: (version) => String(version.version), right: true },
      { title: 'created', cell: (version) => session.ago(version.createdAt) },
      { title: 'size', cell: (version) => (version.artifact ? bytes(version.artifact.bytes) : '-'), right: true },
      { title: 'from', cell: (version) => version.lineage?.jobId ?? version.lineage?.kind ?? '-' },
      { title: 'metrics', cell: (version) => metricText(version.metrics ?? {}) },
    ],
    'no versions yet',
  );
}

async function setAlias(
  session: Session,
  model: string,
  alias: string,
  text: string,
  options: AliasOptions,
): Promise<void> {
  const { version, aliases } = await resolveVersion(session, model, text);
  const before = aliases[alias] ?? null;
  const answer = await session.client.put<unknown>(aliasPath(model, alias), {
    json: { version, expect: before, ...(options.reason ? { reason: options.reason } : {}) },
    signal: session.signal,
  });
  if (session.printedJson(answer)) return;
  session.print(`${model}@${alias} points at version ${version}${before === null ? '' : `, before at ${before}`}`);
}

async function deleteAlias(session: Session, model: string, alias: string): Promise<void> {
  const answer = await session.client.delete<unknown>(aliasPath(model, alias), { signal: session.signal });
  if (session.printedJson(answer)) return;
  session.print(`${model}@${alias} is deleted`);
}

async function history(session: Session, model: string, alias: string): Promise<void> {
  const answer = await session.client.get<{ history: readonly AliasChange[] }>(aliasPath(model, alias), {
    signal: session.signal,
  });
  if (session.printedJson(answer)) return;
  session.table(
    answer.body.history,
    [
      { title: 'when', cell: (change) => session.ago(change.at) },
      { title: 'from', cell: (change) => number(change.from), right: true },
      { title: 'to', cell: (change) => number(change.to), right: true },
      { title: 'by', cell: (change) => change.actor },
      { title: 'reason', cell: (change) => change.reason },
    ],
    'it never moved',
  );
}

async function card(session: Session, model: string, text: string): Promise<void> {
  const { version } = await resolveVersion(session, model, text);
  const answer = await session.client.get(`/api/v1/models/${encodeURIComponent(model)}/versions/${version}/card`, {
    headers: session.json ? {} : { accept: 'text/markdown' },
    signal: session.signal,
  });
  if (!session.printedJson(answer)) session.printEssential(answer.text, answer.text);
}

function aliasPath(model: string, alias: string): string {
  return `/api/v1/models/${encodeURIComponent(model)}/aliases/${encodeURIComponent(alias)}`;
}

function aliasText(aliases: Readonly<Record<string, number>>): string {
  return Object.entries(aliases)
    .map(([name, version]) => `${name}=${version}`)
    .join(', ');
}

function metricText(metrics: Readonly<Record<string, number>>): string {
  return Object.entries(metrics)
    .map(([name, value]) => `${name}=${number(value)}`)
    .join(' ');
}

interface Signature {
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
}

/** Undefined where nothing is known: of a server that does not speak of tensors. */
function signatureText(signature: Signature | null | undefined): string | undefined {
  if (!signature || signature.inputs.length + signature.outputs.length === 0) return undefined;
  const side = (specs: readonly TensorSpec[]) =>
    specs.map((spec) => `${spec.name} ${spec.datatype}[${spec.shape.join(', ')}]`).join(', ');
  return `${side(signature.inputs)} -> ${side(signature.outputs)}`;
}
