import { AppError } from '../../errors.js';

/** In which words a path's protocol tells of errors. */
export type Dialect = 'inference' | 'openai';

/** A path that names a model: the endpoint, and perhaps one of its revisions, by number or by tag. */
export interface ModelPath {
  readonly kind:
    | 'modelReady'
    | 'metadata'
    | 'config'
    | 'modelStatistics'
    | 'load'
    | 'unload'
    | 'modelTraceSettings'
    | 'v1Status'
    | 'v1Metadata'
    | 'openaiModel';
  readonly name: string;
  readonly version?: string | undefined;
  readonly tag?: string | undefined;
}

/** How a prediction is asked for. */
export type Verb = 'infer' | 'predict' | 'explain';

export interface InferPath {
  readonly kind: 'infer';
  readonly verb: Verb;
  readonly name: string;
  readonly version?: string | undefined;
  readonly tag?: string | undefined;
}

/** A call of the OpenAI API, whose body names the model. `path` is what the model's server is asked. */
export interface OpenAiPath {
  readonly kind: 'openai';
  readonly path: string;
}

type ServerPath = {
  readonly kind:
    | 'server'
    | 'live'
    | 'ready'
    | 'list'
    | 'index'
    | 'statistics'
    | 'traceSettings'
    | 'logSettings'
    | 'v1List'
    | 'openaiModels';
};

/** What a path of the data plane asks for. */
export type DataPath = ServerPath | ModelPath | InferPath | OpenAiPath;

/** Kinds whose requests are made by POST, and by POST or GET; all others are read. */
const POSTED: ReadonlySet<DataPath['kind']> = new Set(['infer', 'openai', 'index', 'load', 'unload']);
const BOTH: ReadonlySet<DataPath['kind']> = new Set(['traceSettings', 'modelTraceSettings', 'logSettings']);

/** The methods that a path takes. */
export function methodsOf({ kind }: DataPath): readonly string[] {
  if (POSTED.has(kind)) return ['POST'];
  return BOTH.has(kind) ? ['GET', 'HEAD', 'POST'] : ['GET', 'HEAD'];
}

/** In which words the errors of a path are told. */
export function dialectOf(url: string): Dialect {
  return url.startsWith('/openai/') || OPENAI_CALL.test(url.split('?', 1)[0] ?? '') ? 'openai' : 'inference';
}

const FIXED: ReadonlyMap<string, DataPath> = new Map([
  ['/v2', { kind: 'server' }],
  ['/v2/', { kind: 'server' }],
  ['/v2/health/live', { kind: 'live' }],
  ['/v2/health/ready', { kind: 'ready' }],
  ['/v2/models', { kind: 'list' }],
  ['/v2/models/stats', { kind: 'statistics' }],
  ['/v2/repository/index', { kind: 'index' }],
  ['/v2/trace/setting', { kind: 'traceSettings' }],
  ['/v2/logging', { kind: 'logSettings' }],
  ['/v1/models', { kind: 'v1List' }],
  ['/openai/v1/models', { kind: 'openaiModels' }],
]);

const V2_VERBS: ReadonlyMap<string, ModelPath['kind']> = new Map([
  ['ready', 'modelReady'],
  ['config', 'config'],
  ['stats', 'modelStatistics'],
  ['trace/setting', 'modelTraceSettings'],
]);

/** Calls of the OpenAI API that are passed on, with KServe's prefix or without. */
const OPENAI_CALL = /^(?:\/openai)?(\/v1\/(?:chat\/completions|completions|embeddings|rerank|responses|score))$/;

/** Paths read lately: nearly all requests repeat one of a few. */
const known = new Map<string, DataPath>();
const MAX_KNOWN = 4096;

/** Whether a request target is for the data plane. Answers that are fetched later are for the control API's server. */
export function isDataPath(url: string): boolean {
  if (url.startsWith('/v2/')) return !url.startsWith('/v2/predictions/');
  return url.startsWith('/v1/') || url.startsWith('/openai/') || /^\/v2(\?|$)/.test(url);
}

/** Reads a path without its query; undefined when there is nothing at it. */
export function readPath(path: string): DataPath | undefined {
  const before = known.get(path);
  if (before) return before;
  const read = FIXED.get(path) ?? readOpenAi(path) ?? readV1(path) ?? readV2(path);
  if (!read) return undefined;
  if (known.size >= MAX_KNOWN) known.clear();
  known.set(path, read);
  return read;
}

function readV2(path: string): DataPath | undefined {
  const [, repository, change] = /^\/v2\/repository\/models\/([^/]+)\/(load|unload)$/.exec(path) ?? [];
  if (repository !== undefined) return { kind: change as 'load' | 'unload', name: decode(repository) };
  const found = /^\/v2\/models\/([^/]+)(?:\/versions\/([^/]+))?(?:\/([^/]+|trace\/setting))?$/.exec(path);
  if (!found) return undefined;
  const [, name = '', version, verb] = found;
  const named = { name: decode(name), version: version === undefined ? undefined : decode(version) };
  if (verb === 'infer') return { kind: 'infer', verb, ...named };
  const kind = verb === undefined ? 'metadata' : V2_VERBS.get(verb);
  return kind && { kind, ...named };
}

/** KServe's and TensorFlow Serving's: a label is what is called a tag here. */
function readV1(path: string): DataPath | undefined {
  const found =
    /^\/v1\/models\/([^/:]+)(?:\/versions\/([^/:]+)|\/labels\/([^/:]+))?(?:(\/metadata)|:(predict|explain))?$/.exec(
      path,
    );
  if (!found) return undefined;
  const [, name = '', version, label, metadata, verb] = found;
  const named = {
    name: decode(name),
    version: version === undefined ? undefined : decode(version),
    tag: label === undefined ? undefined : decode(label),
  };
  if (verb !== undefined) return { kind: 'infer', verb: verb as Verb, ...named };
  return { kind: metadata === undefined ? 'v1Status' : 'v1Metadata', ...named };
}

function readOpenAi(path: string): DataPath | undefined {
  const [, call] = OPENAI_CALL.exec(path) ?? [];
  if (call !== undefined) return { kind: 'openai', path: call };
  const [, model] = /^\/openai\/v1\/models\/([^/]+)$/.exec(path) ?? [];
  return model === undefined ? undefined : { kind: 'openaiModel', name: decode(model) };
}

function decode(text: string): string {
  if (!text.includes('%')) return text;
  try {
    return decodeURIComponent(text);
  } catch {
    throw new AppError('invalid', `"${text}" in the path is not valid percent-encoding`);
  }
}
