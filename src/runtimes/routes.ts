import type { InferCodec } from '../protocol/codecs/codec.js';
import { grpc } from '../protocol/codecs/grpc.js';
import { v1, v1Explain } from '../protocol/codecs/v1.js';
import { v2 } from '../protocol/codecs/v2.js';

interface OfModel {
  readonly model: string;
  readonly version: string | undefined;
}

/** A prediction, in the form that the codec reads. */
export interface InferRoute extends OfModel {
  readonly kind: 'infer';
  readonly codec: InferCodec;
  /** An explanation is asked for, not a prediction. */
  readonly explain: boolean;
}

/** What a path of the protocol asks for. */
export type Route =
  | { readonly kind: 'server' | 'live' | 'ready' | 'list' | 'index' | 'metrics' | 'unknown' }
  | ({ readonly kind: 'metadata' | 'modelReady' | 'config' | 'load' | 'unload' } & OfModel)
  /** Without a model: of all. */
  | { readonly kind: 'statistics'; readonly model: string | undefined; readonly version: string | undefined }
  | InferRoute;

const UNKNOWN: Route = { kind: 'unknown' };

const FIXED: Readonly<Record<string, Route>> = {
  'GET /v2': { kind: 'server' },
  'GET /v2/': { kind: 'server' },
  'GET /v2/health/live': { kind: 'live' },
  'GET /v2/health/ready': { kind: 'ready' },
  'GET /v2/models': { kind: 'list' },
  'GET /v1/models': { kind: 'list' },
  'GET /v2/models/stats': { kind: 'statistics', model: undefined, version: undefined },
  'POST /v2/repository/index': { kind: 'index' },
  'GET /metrics': { kind: 'metrics' },
};

const known = new Map<string, Route>();

/** The route of a request; `path` may carry a query, which is ignored. Recent answers are kept: most requests repeat. */
export function routeOf(method: string, path: string): Route {
  const key = `${method} ${path}`;
  let route = known.get(key);
  if (!route) {
    route = findRoute(method, path.split('?', 1)[0] ?? '');
    if (known.size >= 256) known.clear();
    known.set(key, route);
  }
  return route;
}

function findRoute(method: string, path: string): Route {
  const fixed = FIXED[`${method} ${path}`];
  if (fixed) return fixed;
  return repositoryRoute(method, path) ?? modelRoute(method, path) ?? v1Route(method, path) ?? UNKNOWN;
}

function repositoryRoute(method: string, path: string): Route | undefined {
  const [, model, verb] = /^\/v2\/repository\/models\/([^/]+)\/(load|unload)$/.exec(path) ?? [];
  if (model === undefined || method !== 'POST') return undefined;
  return { kind: verb as 'load' | 'unload', model: decode(model), version: undefined };
}

/** The forms of a prediction, by what ends its path. */
const INFER: Readonly<Record<string, InferCodec>> = { infer: v2, 'infer/protobuf': grpc };

function modelRoute(method: string, path: string): Route | undefined {
  const found = /^\/v2\/models\/([^/]+)(?:\/versions\/([^/]+))?(?:\/(ready|infer|infer\/protobuf|stats|config))?$/.exec(
    path,
  );
  if (!found) return undefined;
  const [, name = '', number, verb] = found;
  const of = { model: decode(name), version: number === undefined ? undefined : decode(number) };
  const codec = INFER[verb ?? ''];
  if (codec) return method === 'POST' ? { kind: 'infer', ...of, codec, explain: false } : undefined;
  if (method !== 'GET') return undefined;
  if (verb === undefined) return { kind: 'metadata', ...of };
  if (verb === 'ready') return { kind: 'modelReady', ...of };
  return { kind: verb === 'stats' ? 'statistics' : 'config', ...of };
}

function v1Route(method: string, path: string): Route | undefined {
  const found = /^\/v1\/models\/([^/:]+)(?:\/versions\/([^/:]+))?(:predict|:explain)?$/.exec(path);
  if (!found) return undefined;
  const [, name = '', number, verb] = found;
  const of = { model: decode(name), version: number === undefined ? undefined : decode(number) };
  if (verb === undefined) return method === 'GET' ? { kind: 'modelReady', ...of } : undefined;
  if (method !== 'POST') return undefined;
  return verb === ':predict'
    ? { kind: 'infer', ...of, codec: v1, explain: false }
    : { kind: 'infer', ...of, codec: v1Explain, explain: true };
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
