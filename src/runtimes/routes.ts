/** What a path of the protocol asks for. */
export type Route =
  | { readonly kind: 'server' | 'live' | 'ready' | 'list' | 'index' | 'metrics' | 'unknown' }
  | {
      readonly kind: 'metadata' | 'modelReady' | 'infer' | 'load' | 'unload';
      readonly model: string;
      readonly version: string | undefined;
    };

const UNKNOWN: Route = { kind: 'unknown' };

const FIXED: Readonly<Record<string, Route>> = {
  'GET /v2': { kind: 'server' },
  'GET /v2/': { kind: 'server' },
  'GET /v2/health/live': { kind: 'live' },
  'GET /v2/health/ready': { kind: 'ready' },
  'GET /v2/models': { kind: 'list' },
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
  const found = /^\/v2\/models\/([^/]+)(?:\/versions\/([^/]+))?(?:\/(ready|infer))?$/.exec(path);
  const kind = repository ? repository[2] : found ? (found[3] ?? 'metadata') : undefined;
  const model = decode((repository ?? found)?.[1]);
  const version = decode(found?.[2]);
  if (kind === undefined || model === undefined) return UNKNOWN;
  if ((kind === 'load' || kind === 'unload') && method === 'POST') return { kind, model, version: undefined };
  if (kind === 'infer' && method === 'POST') return { kind, model, version };
  if (kind === 'ready' && method === 'GET') return { kind: 'modelReady', model, version };
  if (kind === 'metadata' && method === 'GET') return { kind, model, version };
  return UNKNOWN;
}

function decode(part: string | undefined): string | undefined {
  if (part === undefined) return undefined;
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
