/** What response caches measure. Names and labels are documented in docs/metrics.md. */
import { Gauge, type Registry } from 'prom-client';
import { CellCounter } from './metric-cells.js';

export interface ResponseCacheMetrics {
  /** Answers that were kept from before, in this gateway's memory or in the cache it shares. */
  readonly hits: CellCounter<'endpoint' | 'level'>;
  readonly misses: CellCounter<'endpoint'>;
  readonly coalesced: CellCounter<'endpoint'>;
}

/** What the gauge reads at each scrape. */
export interface CacheReading {
  readonly endpoint: string;
  readonly bytes: number;
}

/** `readBytes` is called at each scrape. */
export function createResponseCacheMetrics(
  registry: Registry,
  readBytes: () => Iterable<CacheReading>,
): ResponseCacheMetrics {
  new Gauge({
    name: 'sluice_response_cache_bytes',
    help: 'Memory of answers that are kept.',
    labelNames: ['endpoint'],
    registers: [registry],
    collect() {
      this.reset();
      for (const { endpoint, bytes } of readBytes()) this.set({ endpoint }, bytes);
    },
  });
  return {
    hits: new CellCounter({
      name: 'sluice_response_cache_hits_total',
      help: 'Requests answered from what was kept.',
      labelNames: ['endpoint', 'level'],
    }).registerIn(registry),
    misses: new CellCounter({
      name: 'sluice_response_cache_misses_total',
      help: 'Requests that went to the model.',
      labelNames: ['endpoint'],
    }).registerIn(registry),
    coalesced: new CellCounter({
      name: 'sluice_response_cache_coalesced_total',
      help: 'Requests answered with another equal one.',
      labelNames: ['endpoint'],
    }).registerIn(registry),
  };
}
