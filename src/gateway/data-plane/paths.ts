import { AppError } from '../../errors.js';

/** What a path of the data plane asks for. */
export type DataPath = { readonly kind: 'server' | 'live' | 'ready' | 'list' | 'index' | 'statistics' } | ModelPath;

/** A path that names a model: the endpoint, and perhaps one of its revisions. */
export interface ModelPath {
  readonly kind: 'infer' | 'modelReady' | 'metadata' | 'config' | 'modelStatistics' | 'load' | 'unload';
  readonly name: string;
  readonly version: string | undefined;
}

const FIXED: ReadonlyMap<string, DataPath> = new Map([
  ['/v2', { kind: 'server' }],
  ['/v2/', { kind: 'server' }],
  ['/v2/health/live', { kind: 'live' }],
  ['/v2/health/ready', { kind: 'ready' }],
  ['/v2/models', { kind: 'list' }],
  ['/v2/models/stats', { kind: 'statistics' }],
  ['/v2/repository/index', { kind: 'index' }],
]);

const VERBS: ReadonlyMap<string, ModelPath['kind']> = new Map([
  ['infer', 'infer'],
  ['ready', 'modelReady'],
  ['config', 'config'],
  ['stats', 'modelStatistics'],
]);

/** Paths read lately: nearly all requests repeat one of a few. */
const known = new Map<string, DataPath>();
const MAX_KNOWN = 4096;

/** Whether a request target is for the data plane. Answers that are fetched later are for the control API's server. */
export function isDataPath(url: string): boolean {
  return (url.startsWith('/v2/') && !url.startsWith('/v2/predictions/')) || url === '/v2' || url.startsWith('/v2?');
}

/** Reads a path without its query; undefined when there is nothing at it. */
export function readPath(path: string): DataPath | undefined {
  const before = known.get(path);
  if (before) return before;
  const read = FIXED.get(path) ?? readModelPath(path);
  if (!read) return undefined;
  if (known.size >= MAX_KNOWN) known.clear();
  known.set(path, read);
  return read;
}

function readModelPath(path: string): ModelPath | undefined {
  const repository = /^\/v2\/repository\/models\/([^/]+)\/(load|unload)$/.exec(path);
  if (repository) {
    return { kind: repository[2] as 'load' | 'unload', name: decode(repository[1] ?? ''), version: undefined };
  }
  const found = /^\/v2\/models\/([^/]+)(?:\/versions\/([^/]+))?(?:\/([^/]+))?$/.exec(path);
  if (!found) return undefined;
  const [, name = '', version, verb] = found;
  const kind = verb === undefined ? 'metadata' : VERBS.get(verb);
  return kind && { kind, name: decode(name), version: version === undefined ? undefined : decode(version) };
}

function decode(text: string): string {
  if (!text.includes('%')) return text;
  try {
    return decodeURIComponent(text);
  } catch {
    throw new AppError('invalid', `"${text}" in the path is not valid percent-encoding`);
  }
}
