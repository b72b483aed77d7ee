/** What the gateway measures, as a typed record made once and passed in. Names and labels are documented in docs/metrics.md. */
import { AggregatorRegistry, Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import { CellCounter, CellHistogram } from './metric-cells.js';
import { type CacheReading, createResponseCacheMetrics, type ResponseCacheMetrics } from './response-cache-metrics.js';
import { createShadowMetrics, type ShadowMetrics } from './shadow-metrics.js';

/** Seconds. From a tenth of a millisecond, where small models answer, to the time limit of large ones. */
const LATENCY_BUCKETS = [
  0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60,
];

export interface GatewayMetrics {
  readonly responseCache: ResponseCacheMetrics;
  readonly shadow: ShadowMetrics;
  /** All of them in the Prometheus text format. */
  print(): Promise<PrintedMetrics>;
  /** The same in data, which several processes can be added up from. */
  json(): Promise<object[]>;
  /** Predictions answered, by endpoint, revision and status class (2xx, 4xx, 5xx). */
  readonly predictions: CellCounter<'endpoint' | 'revision' | 'status'>;
  /** From the request's arrival to its answer, waiting included. */
  readonly latency: CellHistogram<'endpoint' | 'revision'>;
  /** Predictions refused before they had a revision, by error code. */
  readonly refused: Counter<'code'>;
  /** Further attempts of requests whose replica went away. */
  readonly retries: Counter<'endpoint' | 'revision'>;
  /** Failures that were answers because too many further attempts were under way. */
  readonly retryBudgetSpent: Counter<'endpoint' | 'revision'>;
  /** Second attempts beside a slow first one, by outcome: won, lost, failed. */
  readonly hedges: Counter<'endpoint' | 'revision' | 'outcome'>;
  /** Requests that their revision could not serve and another one was asked for. */
  readonly fallbacks: Counter<'endpoint' | 'revision' | 'code'>;
  /** Replicas left out because they only failed. */
  readonly ejections: Counter<'endpoint' | 'revision'>;
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

/** A page for a scraper. */
export interface PrintedMetrics {
  readonly contentType: string;
  readonly text: string;
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

/** What is read anew at each scrape. */
export interface MetricReaders {
  fleet(): readonly FleetReading[] | Promise<readonly FleetReading[]>;
  responseCaches(): Iterable<CacheReading>;
}

export function createGatewayMetrics(read: MetricReaders): GatewayMetrics {
  const registry = new Registry();
  // its default of 10 ms wakes an idle process a hundred times a second
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: 100 });
  const registers = [registry];
  const of = ['endpoint', 'revision'] as const;
  return {
    responseCache: createResponseCacheMetrics(registry, read.responseCaches),
    shadow: createShadowMetrics(registry, LATENCY_BUCKETS),
    print: () => printed(registry),
    json: () => registry.getMetricsAsJSON(),
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
    retries: new Counter({
      name: 'sluice_retries_total',
      help: 'Further attempts of predictions whose replica went away.',
      labelNames: [...of],
      registers,
    }),
    retryBudgetSpent: new Counter({
      name: 'sluice_retry_budget_spent_total',
      help: 'Predictions not tried again because too many further attempts were under way.',
      labelNames: [...of],
      registers,
    }),
    hedges: new Counter({
      name: 'sluice_hedges_total',
      help: 'Second attempts beside a slow first one, by outcome: won, lost, failed.',
      labelNames: [...of, 'outcome'],
      registers,
    }),
    fallbacks: new Counter({
      name: 'sluice_fallbacks_total',
      help: 'Predictions that their revision could not serve and that went to another one, by the error.',
      labelNames: [...of, 'code'],
      registers,
    }),
    ejections: new Counter({
      name: 'sluice_replica_ejections_total',
      help: 'Replicas left out for a while because they only failed.',
      labelNames: [...of],
      registers,
    }),
    replicas: new Gauge({
      name: 'sluice_replicas',
      help: 'Model servers by state.',
      labelNames: [...of, 'state'],
      registers,
      async collect() {
        const readings = await read.fleet();
        this.reset();
        for (const { endpoint, revision, ready, starting } of readings) {
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
      async collect() {
        const readings = await read.fleet();
        this.reset();
        for (const { endpoint, revision, busy } of readings) this.set({ endpoint, revision }, busy);
      },
    }),
    waiting: new Gauge({
      name: 'sluice_predictions_waiting',
      help: 'Predictions that wait for a replica.',
      labelNames: [...of],
      registers,
      async collect() {
        const readings = await read.fleet();
        this.reset();
        for (const { endpoint, revision, waiting } of readings) this.set({ endpoint, revision }, waiting);
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

async function printed(registry: Registry): Promise<PrintedMetrics> {
  return { contentType: registry.contentType, text: await registry.metrics() };
}

/** One page of what several processes measured: counters and histograms added up, gauges too. */
export function addMetrics(parts: readonly object[][]): Promise<PrintedMetrics> {
  return printed(AggregatorRegistry.aggregate([...parts]));
}
