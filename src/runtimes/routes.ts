import type { InferCodec } from './codecs/codec.js';
import { v2 } from './codecs/v2.js';

interface OfModel {
  readonly model: string;
  readonly version: string | undefined;
}

/** A prediction, in the form that the codec reads. */
export interface InferRoute extends OfModel {
  readonly kind: 'infer';
  readonly codec: InferCodec;
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
  const repository = /^\/v2\/repository\/models\/([^/]+)\/(load|unload)$/.exec(path);
  const found = /^\/v2\/models\/([^/]+)(?:\/versions\/([^/]+))?(?:\/(ready|infer|stats|config))?$/.exec(path);
  const kind = repository ? repository[2] : found ? (found[3] ?? 'metadata') : undefined;
  const model = decode((repository ?? found)?.[1]);
  const version = decode(found?.[2]);
  if (kind === undefined || model === undefined) return UNKNOWN;
  if ((kind === 'load' || kind === 'unload') && method === 'POST') return { kind, model, version: undefined };
  if (kind === 'infer' && method === 'POST') return { kind, model, version, codec: v2 };
  if (method !== 'GET') return UNKNOWN;
  if (kind === 'ready') return { kind: 'modelReady', model, version };
  if (kind === 'stats') return { kind: 'statistics', model, version };
  return kind === 'metadata' || kind === 'config' ? { kind, model, version } : UNKNOWN;
}

function decode(part: string | undefined): string | undefined {
  if (part === undefined) return undefined;
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
