import type { ResponseCacheMetrics } from '../../../response-cache-metrics.js';
import type { EndpointRoute } from '../route.js';
import { type CacheCounters, EndpointCache } from './endpoint-cache.js';
import type { SharedCache } from './shared-cache.js';

export interface ResponseCachesOptions {
  readonly clock: { now(): number };
  readonly metrics: ResponseCacheMetrics;
  /** The second level; undefined without one. */
  readonly shared?: SharedCache | undefined;
}

interface Named {
  readonly endpoint: string;
  readonly cache: EndpointCache;
}

/** The response caches of all endpoints that have one. */
export class ResponseCaches {
  private readonly byEndpoint = new Map<string, Named>();

  constructor(private readonly options: ResponseCachesOptions) {}

  /** The cache of an endpoint; undefined where it is off. */
  of({ id, name, responseCache }: EndpointRoute): EndpointCache | undefined {
    if (responseCache === undefined) return undefined;
    let named = this.byEndpoint.get(id);
    if (!named) {
      const { clock, shared } = this.options;
      const cache = new EndpointCache(responseCache, { clock, shared, counters: this.countersOf(name) });
      named = { endpoint: name, cache };
      this.byEndpoint.set(id, named);
    }
    named.cache.configure(responseCache);
    return named.cache;
  }

  /** Follows the routing: what is of an endpoint or a revision that is gone, or whose cache is off, is forgotten. */
  sync(endpointId: string, route: EndpointRoute | undefined): void {
    const named = this.byEndpoint.get(endpointId);
    if (!named) return;
    if (route?.responseCache === undefined) {
      named.cache.keepOnly(new Set());
      this.byEndpoint.delete(endpointId);
      return;
    }
    named.cache.configure(route.responseCache);
    named.cache.keepOnly(new Set([...route.revisions.values()].map(({ key }) => key)));
  }

  /** Memory by endpoint. */
  *bytes(): Iterable<{ readonly endpoint: string; readonly bytes: number }> {
    for (const { endpoint, cache } of this.byEndpoint.values()) yield { endpoint, bytes: cache.bytes };
  }

  private countersOf(endpoint: string): CacheCounters {
    const { hits, misses, coalesced } = this.options.metrics;
    return {
      memoryHits: hits.cell({ endpoint, level: 'memory' }),
      sharedHits: hits.cell({ endpoint, level: 'shared' }),
      misses: misses.cell({ endpoint }),
      coalesced: coalesced.cell({ endpoint }),
    };
  }
}
