type Prom = typeof import('prom-client');

/** What a model server counts. Recording is cheap; prom-client itself is imported after the start, off its way. */
export interface RuntimeMetrics {
  request(model: string, status: number): void;
  /** Seconds of one inference, without the wait for it. */
  inference(model: string, seconds: number): void;
  load(model: string, seconds: number): void;
  /** The text that Prometheus scrapes. */
  print(): Promise<{ contentType: string; text: string }>;
  /** Imports prom-client (about 15 ms): to be called when nothing waits. Until then, what is recorded is kept. */
  prepare(): Promise<void>;
}

/** From 0.1 ms, a tiny model, to 10 s. */
const INFERENCE_BUCKETS = [
  0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
];

/** Records kept at most before prom-client must be there. */
const MAX_EARLY = 10_000;

/** `inFlight` is read at each scrape. */
export function createMetrics(inFlight: () => number): RuntimeMetrics {
  let book: Book | undefined;
  let opening: Promise<Book> | undefined;
  let early: ((book: Book) => void)[] = [];
  const open = () => {
    opening ??= import('prom-client').then((module) => {
      book = createBook('default' in module ? (module.default as Prom) : module, inFlight);
      for (const record of early) record(book);
      early = [];
      return book;
    });
    return opening;
  };
  const record = (entry: (book: Book) => void) => {
    if (book) return entry(book);
    early.push(entry);
    if (early.length === MAX_EARLY) void open();
  };
  return {
    request: (model, status) => record((to) => to.request(model, status)),
    inference: (model, seconds) => record((to) => to.inference(model, seconds)),
    load: (model, seconds) => record((to) => to.load(model, seconds)),
    print: async () => (await open()).print(),
    prepare: async () => void (await open()),
  };
}

type Book = Omit<RuntimeMetrics, 'prepare'>;

function createBook(prom: Prom, inFlight: () => number): Book {
  const registry = new prom.Registry();
  const registers = [registry];
  // its default of 10 ms wakes an idle process a hundred times a second
  prom.collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: 100 });
  const requests = new prom.Counter({
    name: 'sluice_runtime_requests_total',
    help: 'Inference requests answered, by model and HTTP status.',
    labelNames: ['model', 'status'],
    registers,
  });
  const seconds = new prom.Histogram({
    name: 'sluice_runtime_inference_seconds',
    help: 'Seconds one inference took, without waiting and without reading and printing.',
    labelNames: ['model'],
    buckets: INFERENCE_BUCKETS,
    registers,
  });
  const loads = new prom.Histogram({
    name: 'sluice_runtime_load_seconds',
    help: 'Seconds one load of a model took.',
    labelNames: ['model'],
    buckets: [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 60],
    registers,
  });
  new prom.Gauge({
    name: 'sluice_runtime_in_flight',
    help: 'Inference requests being worked on or waiting.',
    registers,
    collect() {
      this.set(inFlight());
    },
  });
  // label look-ups cost more than the counting itself
  const counters = new Map<string, ReturnType<typeof requests.labels>>();
  const timers = new Map<string, ReturnType<typeof seconds.labels>>();
  return {
    request(model, status) {
      const key = `${status} ${model}`;
      let counter = counters.get(key);
      if (!counter) {
        counter = requests.labels(model, String(status));
        counters.set(key, counter);
      }
      counter.inc();
    },
    inference(model, value) {
      let timer = timers.get(model);
      if (!timer) {
        timer = seconds.labels(model);
        timers.set(model, timer);
      }
      timer.observe(value);
    },
    load: (model, value) => loads.labels(model).observe(value),
    print: async () => ({ contentType: registry.contentType, text: await registry.metrics() }),
  };
}
