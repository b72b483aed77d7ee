/** What the gateway measures, as a typed record made once and passed in. Names and labels are documented in docs/metrics.md. */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import { CellCounter, CellHistogram } from './metric-cells.js';

/** Seconds. From a tenth of a millisecond, where small models answer, to the time limit of large ones. */
const LATENCY_BUCKETS = [
  0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60,
];

export interface GatewayMetrics {
  readonly registry: Registry;
  /** Predictions answered, by endpoint, revision and status class (2xx, 4xx, 5xx). */
  readonly predictions: CellCounter<'endpoint' | 'revision' | 'status'>;
  /** From the request's arrival to its answer, waiting included. */
  readonly latency: CellHistogram<'endpoint' | 'revision'>;
  /** Predictions refused before they had a revision, by error code. */
  readonly refused: Counter<'code'>;
  readonly replicas: Gauge<'endpoint' | 'revision' | 'state'>;
  readonly inFlight: Gauge<'endpoint' | 'revision'>;
  readonly waiting: Gauge<'endpoint' | 'revision'>;
  /** Records of the payload log that its sink took. */
  readonly payloadLogWritten: Counter<'endpoint'>;
  /** Records of the payload log that nobody has, by reason: buffer_full, too_large, sink_failed, stopped. */
  readonly payloadLogDropped: Counter<'endpoint' | 'reason'>;
  /**
   * Of starts that requests waited for. Phases: wait (from the first request that found no replica to the replica's
   * readiness), and what that was made of: fetch, process, library, load, warmup.
   */
  readonly coldStart: Histogram<'endpoint' | 'revision' | 'phase'>;
}

/** What the gauges read at each scrape. */
export interface FleetReading {
  readonly endpoint: string;
  readonly revision: number;
  readonly ready: number;
  readonly starting: number;
  readonly busy: number;
  readonly waiting: number;
}

/** `readFleet` is called at each scrape. */
export function createGatewayMetrics(readFleet: () => readonly FleetReading[]): GatewayMetrics {
  const registry = new Registry();
  // its default of 10 ms wakes an idle process a hundred times a second
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: 100 });
  const registers = [registry];
  const of = ['endpoint', 'revision'] as const;
  return {
    registry,
    predictions: new CellCounter({
      name: 'sluice_predictions_total',
      help: 'Predictions answered.',
      labelNames: [...of, 'status'],
    }).registerIn(registry),
    latency: new CellHistogram({
      name: 'sluice_prediction_seconds',
      help: 'Time from arrival to answer, waiting included.',
      labelNames: [...of],
      bounds: LATENCY_BUCKETS,
    }).registerIn(registry),
    refused: new Counter({
      name: 'sluice_predictions_refused_total',
      help: 'Predictions refused before a revision was chosen.',
      labelNames: ['code'],
      registers,
    }),
    replicas: new Gauge({
      name: 'sluice_replicas',
      help: 'Model servers by state.',
      labelNames: [...of, 'state'],
      registers,
      collect() {
        this.reset();
        for (const { endpoint, revision, ready, starting } of readFleet()) {
          this.set({ endpoint, revision, state: 'ready' }, ready);
          this.set({ endpoint, revision, state: 'starting' }, starting);
        }
      },
    }),
    inFlight: new Gauge({
      name: 'sluice_predictions_in_flight',
      help: 'Predictions being answered by a replica.',
      labelNames: [...of],
      registers,
      collect() {
        this.reset();
        for (const { endpoint, revision, busy } of readFleet()) this.set({ endpoint, revision }, busy);
      },
    }),
    waiting: new Gauge({
      name: 'sluice_predictions_waiting',
      help: 'Predictions that wait for a replica.',
      labelNames: [...of],
      registers,
      collect() {
        this.reset();
        for (const { endpoint, revision, waiting } of readFleet()) this.set({ endpoint, revision }, waiting);
      },
    }),
    payloadLogWritten: new Counter({
      name: 'sluice_payload_log_written_total',
      help: 'Requests and answers that were recorded.',
      labelNames: ['endpoint'],
      registers,
    }),
    payloadLogDropped: new Counter({
      name: 'sluice_payload_log_dropped_total',
      help: 'Requests and answers of the sample that were not recorded.',
      labelNames: ['endpoint', 'reason'],
      registers,
    }),
    coldStart: new Histogram({
      name: 'sluice_cold_start_seconds',
      help: 'Cold starts by phase: wait is the whole, from the first waiting request to a ready replica.',
      labelNames: [...of, 'phase'],
      buckets: LATENCY_BUCKETS,
      registers,
    }),
  };
}

/** What response caches count. */
export interface ResponseCacheMetrics {
  /** Answers that were kept from before, in this gateway's memory or in the cache it shares. */
  readonly hits: CellCounter<'endpoint' | 'level'>;
  readonly misses: CellCounter<'endpoint'>;
  readonly coalesced: CellCounter<'endpoint'>;
}

/** `readBytes` is called at each scrape. */
export function createResponseCacheMetrics(
  registry: Registry,
  readBytes: () => Iterable<{ readonly endpoint: string; readonly bytes: number }>,
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
