import { CellCounter, CellHistogram } from '../metric-cells.js';

type Prom = typeof import('prom-client');

/** What a model server counts. Recording is cheap; prom-client itself is imported after the start, off its way. */
export interface RuntimeMetrics {
  /** Counts the answers of a model. */
  model(name: string): ModelMetrics;
  /** What the start of this process took, phase by phase, in milliseconds. */
  started(phases: Readonly<Record<string, number>>): void;
  /** The text that Prometheus scrapes. */
  print(): Promise<{ contentType: string; text: string }>;
  /** Imports prom-client (about 15 ms): to be called when nothing waits. */
  prepare(): Promise<void>;
}

/** Of one model; looked up once and kept. */
export interface ModelMetrics {
  request(status: number): void;
  /** Seconds of one inference, without the wait for it. */
  inference(seconds: number): void;
  load(seconds: number): void;
}

/** From 0.1 ms, a tiny model, to 10 s. */
const INFERENCE_BUCKETS = [
  0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
];
const LOAD_BUCKETS = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 60];

/** `inFlight` is read at each scrape. */
export function createMetrics(inFlight: () => number): RuntimeMetrics {
  const requests = new CellCounter({
    name: 'sluice_runtime_requests_total',
    help: 'Inference requests answered, by model and HTTP status.',
    labelNames: ['model', 'status'],
  });
  const inferences = new CellHistogram({
    name: 'sluice_runtime_inference_seconds',
    help: 'Seconds one inference took, without waiting and without reading and printing.',
    labelNames: ['model'],
    bounds: INFERENCE_BUCKETS,
  });
  const loads = new CellHistogram({
    name: 'sluice_runtime_load_seconds',
    help: 'Seconds one load of a model took.',
    labelNames: ['model'],
    bounds: LOAD_BUCKETS,
  });
  let opening: Promise<InstanceType<Prom['Registry']>> | undefined;
  const open = () => {
    opening ??= import('prom-client').then((module) => {
      const prom = 'default' in module ? (module.default as Prom) : module;
      const registry = new prom.Registry();
      // its default of 10 ms wakes an idle process a hundred times a second
      prom.collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: 100 });
      for (const metric of [requests, inferences, loads]) metric.registerIn(registry);
      new prom.Gauge({
        name: 'sluice_runtime_in_flight',
        help: 'Inference requests being worked on or waiting.',
        registers: [registry],
        collect() {
          this.set(inFlight());
        },
      });
      new prom.Gauge({
        name: 'sluice_runtime_start_seconds',
        help: 'Seconds that the start of this process took, by phase; only of one that fetched its model.',
        labelNames: ['phase'],
        registers: [registry],
        collect() {
          for (const [phase, ms] of Object.entries(start)) this.set({ phase }, ms / 1000);
        },
      });
      return registry;
    });
    return opening;
  };
  let start: Readonly<Record<string, number>> = {};
  const models = new Map<string, ModelMetrics>();
  const model = (name: string): ModelMetrics => {
    const inference = inferences.cell({ model: name });
    const load = loads.cell({ model: name });
    const byStatus = new Map<number, ReturnType<typeof requests.cell>>();
    return {
      request(status) {
        let cell = byStatus.get(status);
        if (!cell) {
          cell = requests.cell({ model: name, status: String(status) });
          byStatus.set(status, cell);
        }
        cell.inc();
      },
      inference: (seconds) => inference.observe(seconds),
      load: (seconds) => load.observe(seconds),
    };
  };
  return {
    model(name) {
      let known = models.get(name);
      if (!known) {
        known = model(name);
        models.set(name, known);
      }
      return known;
    },
    started(phases) {
      start = phases;
    },
    async print() {
      const registry = await open();
      return { contentType: registry.contentType, text: await registry.metrics() };
    },
    prepare: async () => void (await open()),
  };
}
