import { type Command, Option } from 'commander';
import {
  type Endpoint,
  type EndpointSummary,
  type Gate,
  listOf,
  type Policy,
  type Revision,
  trafficText,
} from './api-types.js';
import { readSpecFile } from './apply/spec-file.js';
import { usageError } from './exit.js';
import type { Io } from './io.js';
import { number } from './print/text.js';
import { resolveVersion } from './resolve.js';
import { openSession, type Session } from './session.js';
import { defined, integer } from './values.js';

interface CreateOptions {
  readonly file?: string;
  readonly model?: string;
  readonly version?: string;
  readonly access?: string;
  readonly minReplicas?: number;
  readonly maxReplicas?: number;
  readonly concurrency?: number;
  readonly threads?: number;
  readonly stickyHeader?: string;
  readonly auto: boolean;
}

/** `sluice endpoints`. */
export function define(command: Command, io: Io): void {
  command
    .command('create')
    .description('create an endpoint; flags go over what the file says')
    .argument('<name>')
    .option('--model <model>', 'model whose versions it serves')
    .option('--version <version>', 'version that answers from the start: a number, "latest" or an alias')
    .option('-f, --file <file>', 'YAML or JSON with the rest: scaling, routing, policy')
    .addOption(new Option('--access <who>', 'who may predict').choices(['key', 'public']))
    .option('--min-replicas <n>', 'replicas kept when idle; 0 scales to zero', integer(0))
    .option('--max-replicas <n>', 'most replicas of one revision', integer(1))
    .option('--concurrency <n>', 'requests that one replica handles at once', integer(1))
    .option('--threads <n>', 'threads of the inference engine in each replica', integer(1))
    .option('--sticky-header <name>', 'requests with the same value of it keep their revision')
    .option('--no-auto', 'jobs of the model start no promotion on their own')
    .action((name: string, options: CreateOptions, self: Command) => create(openSession(io, self), name, options));
  command
    .command('list')
    .description('list all endpoints with their traffic')
    .action((_options: unknown, self: Command) => list(openSession(io, self)));
  command
    .command('show')
    .description('show an endpoint: traffic, revisions, replicas, the last minute')
    .argument('<endpoint>')
    .action((name: string, _options: unknown, self: Command) => show(openSession(io, self), name));
  command
    .command('delete')
    .description('delete an endpoint; it answers no more')
    .argument('<endpoint>')
    .action((name: string, _options: unknown, self: Command) => remove(openSession(io, self), name));
}

async function create(session: Session, name: string, options: CreateOptions): Promise<void> {
  const file = options.file === undefined ? {} : await readSpecFile(session, options.file, 'Endpoint');
  const model = options.model ?? (typeof file.model === 'string' ? file.model : undefined);
  if (model === undefined) throw usageError('which model? say it with --model, or in the file');
  const version =
    options.version === undefined ? undefined : (await resolveVersion(session, model, options.version)).version;
  const scaling = merged(file.scaling, {
    minReplicas: options.minReplicas,
    maxReplicas: options.maxReplicas,
    concurrency: options.concurrency,
    threads: options.threads,
  });
  const routing = merged(file.routing, { stickyHeader: options.stickyHeader });
  const policy = merged(file.policy, { auto: options.auto ? undefined : false });
  const json = { ...file, name, model, ...defined({ access: options.access, version, scaling, routing, policy }) };
  const answer = await session.client.post<Endpoint>('/api/v1/endpoints', { json, signal: session.signal });
  if (session.printedJson(answer)) return;
  session.printEssential(name, `endpoint ${name} created; it answers at ${session.client.url}/v2/models/${name}/infer`);
  if (version === undefined && file.version === undefined) {
    session.note(`nothing answers yet: take a version live with \`sluice rollouts start ${name} --version latest\``);
  }
}

async function list(session: Session): Promise<void> {
  const answer = await session.client.get<unknown>('/api/v1/endpoints', { signal: session.signal });
  if (session.printedJson(answer)) return;
  endpointTable(session, listOf<EndpointSummary>(answer.body, 'endpoints'));
}

/** Endpoints as a table, for `endpoints list` and `status`. */
export function endpointTable(session: Session, endpoints: readonly EndpointSummary[]): void {
  session.table(
    endpoints,
    [
      { title: 'endpoint', cell: (endpoint) => endpoint.name },
      { title: 'model', cell: (endpoint) => endpoint.model },
      { title: 'access', cell: (endpoint) => endpoint.access },
      { title: 'traffic', cell: (endpoint) => trafficText(endpoint.traffic) },
      { title: 'created', cell: (endpoint) => session.ago(endpoint.createdAt) },
    ],
    'no endpoints yet; create one with `sluice endpoints create`',
  );
}

async function show(session: Session, name: string): Promise<void> {
  const answer = await session.client.get<Endpoint>(`/api/v1/endpoints/${encodeURIComponent(name)}`, {
    signal: session.signal,
  });
  if (session.printedJson(answer)) return;
  const endpoint = answer.body;
  session.facts([
    ['endpoint', endpoint.name],
    ['model', endpoint.model],
    ['access', endpoint.access],
    ['created', session.ago(endpoint.createdAt)],
    ['traffic', trafficText(endpoint.traffic) || 'none'],
    ['generation', String(endpoint.generation)],
    ['rollout', endpoint.rollout ?? undefined],
    ['scaling', flat(endpoint.scaling)],
    ['routing', flat(endpoint.routing)],
    ['runtime', flat(endpoint.runtime)],
    ['cache', endpoint.responseCache.enabled === true ? flat(endpoint.responseCache) : undefined],
    ['payload log', endpoint.payloadLog ? flat(endpoint.payloadLog) : undefined],
    ['promotion', triggerText(endpoint.policy)],
    ['approval', endpoint.policy.approval.kind],
    ['gates', endpoint.policy.gates.map(gateText).join('; ') || 'the model loads'],
    ['canary', canaryText(endpoint.policy)],
  ]);
  session.print('');
  const share = (revision: Revision) =>
    endpoint.traffic.find((target) => target.revision === revision.number)?.percent ?? 0;
  session.table(
    endpoint.revisions,
    [
      { title: 'revision', cell: (revision) => String(revision.number), right: true },
      { title: 'model version', cell: (revision) => String(revision.modelVersion), right: true },
      { title: 'traffic', cell: (revision) => `${number(share(revision), 9)} %`, right: true },
      { title: 'replicas', cell: replicaText, right: true },
      { title: 'req/min', cell: (revision) => number(revision.stats1m?.requests), right: true },
      { title: 'errors', cell: (revision) => number(revision.stats1m?.errors), right: true },
      { title: 'p50 ms', cell: (revision) => number(revision.stats1m?.p50Ms, 3), right: true },
      { title: 'p95 ms', cell: (revision) => number(revision.stats1m?.p95Ms, 3), right: true },
      { title: 'created', cell: (revision) => session.ago(revision.createdAt) },
      { title: 'why', cell: (revision) => revision.status?.message || revision.reason },
    ],
    'no revisions yet',
  );
  for (const line of replicaNotes(endpoint.revisions)) session.print(line);
}

/** Where replicas compute when it is not the CPU, and what their engines have to say; the same once for a revision. */
function replicaNotes(revisions: readonly Revision[]): string[] {
  return revisions.flatMap(({ number: revision, status }) => {
    const lines = (status?.replicas ?? []).flatMap(({ device = 'cpu', notes = [] }) => [
      ...(device === 'cpu' ? [] : [`computes on ${device}`]),
      ...notes,
    ]);
    return [...new Set(lines)].map((line) => `revision ${revision}: ${line}`);
  });
}

async function remove(session: Session, name: string): Promise<void> {
  const answer = await session.client.delete<unknown>(`/api/v1/endpoints/${encodeURIComponent(name)}`, {
    signal: session.signal,
  });
  if (session.printedJson(answer)) return;
  session.print(`endpoint ${name} is deleted`);
}

function replicaText(revision: Revision): string {
  const { status } = revision;
  if (!status) return '-';
  return status.starting > 0 ? `${status.ready}+${status.starting}` : String(status.ready);
}

function flat(settings: Readonly<Record<string, unknown>>): string {
  return Object.entries(settings)
    .map(([name, value]) => `${name}=${typeof value === 'object' ? JSON.stringify(value) : String(value)}`)
    .join(' ');
}

function merged(base: unknown, changes: Readonly<Record<string, unknown>>): Record<string, unknown> | undefined {
  const from = typeof base === 'object' && base !== null ? base : {};
  const all = { ...from, ...defined(changes) };
  return Object.keys(all).length > 0 ? all : undefined;
}

/** A gate in a few words: its kind, then what it is set to. */
function gateText({ kind, ...settings }: Gate): string {
  const shown = Object.entries(settings).filter(([, value]) => !Array.isArray(value) || value.length > 0);
  const text = (value: unknown) => (typeof value === 'object' ? JSON.stringify(value) : String(value));
  return [kind, ...shown.map(([name, value]) => `${name}=${text(value)}`)].join(' ');
}

function triggerText({ auto, triggers }: Policy): string {
  const opened = triggers.map(({ on, ...settings }) => [on.replace('_', ' '), ...Object.values(settings)].join(' '));
  return auto && opened.length > 0 ? opened.join('; ') : 'by hand';
}

/** A step of a plan as it was written. */
function stepText(step: Readonly<Record<string, unknown>>): string {
  const [kind = '', value] = Object.entries(step).find(([name]) => name !== 'holdSec' && name !== 'analyse') ?? [];
  const hold = step.holdSec === undefined ? '' : ` for ${step.holdSec} s`;
  if (kind === 'percent') return `${value} %${hold}`;
  if (kind === 'shadowPercent') return `copies of ${value} %${hold}`;
  return kind;
}

function canaryText({ rollout }: Policy): string {
  const steps = rollout.steps?.map(stepText).join(', ') ?? '10 %, 50 %';
  const way = rollout.strategy === 'blue_green' ? 'blue/green: all at once' : `${steps}, then all`;
  return `${way}; the old revision stays warm for ${rollout.bakeSec} s`;
}
