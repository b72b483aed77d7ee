/** The statistics extension of the protocol (Triton's docs/protocol/extension_statistics.md). */

/** How often something was done, and how long it took in all, in nanoseconds. */
export interface Tally {
  readonly count: number;
  readonly ns: number;
}

const REQUEST_PARTS = [
  'success',
  'fail',
  'queue',
  'compute_input',
  'compute_infer',
  'compute_output',
  'cache_hit',
  'cache_miss',
] as const;

/** Runs of one number of rows. */
export interface BatchStatistics {
  readonly batch_size: number;
  readonly compute_input: Tally;
  readonly compute_infer: Tally;
  readonly compute_output: Tally;
}

/** What one model did since it was loaded. */
export interface ModelStatistics {
  readonly name: string;
  readonly version: string;
  /** Of the last one, in milliseconds since the epoch; 0 where there was none. */
  readonly last_inference: number;
  /** Rows, whatever they were joined into. */
  readonly inference_count: number;
  readonly execution_count: number;
  readonly inference_stats: Readonly<Record<(typeof REQUEST_PARTS)[number], Tally>>;
  readonly batch_stats: readonly BatchStatistics[];
}

const NONE: Tally = { count: 0, ns: 0 };

type Fields = Readonly<Record<string, unknown>>;

/** What a server's answer tells of its models. It may be anybody's server: what is missing or no number counts as 0. */
export function readStatistics(answer: unknown): ModelStatistics[] {
  return objects(fields(answer).model_stats).map((model) => ({
    name: text(model.name),
    version: text(model.version),
    last_inference: count(model.last_inference),
    inference_count: count(model.inference_count),
    execution_count: count(model.execution_count),
    inference_stats: tallies(REQUEST_PARTS, fields(model.inference_stats)),
    batch_stats: objects(model.batch_stats).map((batch) => ({
      batch_size: count(batch.batch_size),
      ...tallies(['compute_input', 'compute_infer', 'compute_output'], batch),
    })),
  }));
}

function tallies<K extends string>(names: readonly K[], of: Fields): Record<K, Tally> {
  const read = names.map((name) => {
    const { count: times, ns } = fields(of[name]);
    return [name, { count: count(times), ns: count(ns) }] as const;
  });
  return Object.fromEntries(read) as Record<K, Tally>;
}

function fields(value: unknown): Fields {
  return typeof value === 'object' && value !== null ? (value as Fields) : {};
}

function objects(value: unknown): Fields[] {
  return Array.isArray(value) ? value.map(fields) : [];
}

function text(value: unknown): string {
  return typeof value === 'string' || typeof value === 'number' ? String(value) : '';
}

function count(value: unknown): number {
  return typeof value === 'number' && Number.isFinite(value) ? value : 0;
}

/** What several replicas of a model did together, under one name. */
export function addStatistics(name: string, version: string, parts: readonly ModelStatistics[]): ModelStatistics {
  const total = (value: (part: ModelStatistics) => number) => parts.reduce((sum, part) => sum + value(part), 0);
  const batches = new Map<number, BatchStatistics>();
  for (const batch of parts.flatMap((part) => part.batch_stats)) {
    const before = batches.get(batch.batch_size);
    batches.set(batch.batch_size, before ? addBatches(before, batch) : batch);
  }
  const tally = (key: (typeof REQUEST_PARTS)[number]) =>
    parts.reduce((sum, part) => add(sum, part.inference_stats[key]), NONE);
  return {
    name,
    version,
    last_inference: Math.max(0, ...parts.map((part) => part.last_inference)),
    inference_count: total((part) => part.inference_count),
    execution_count: total((part) => part.execution_count),
    inference_stats: Object.fromEntries(
      REQUEST_PARTS.map((key) => [key, tally(key)]),
    ) as ModelStatistics['inference_stats'],
    batch_stats: [...batches.values()].sort((a, b) => a.batch_size - b.batch_size),
  };
}

function addBatches(a: BatchStatistics, b: BatchStatistics): BatchStatistics {
  return {
    batch_size: a.batch_size,
    compute_input: add(a.compute_input, b.compute_input),
    compute_infer: add(a.compute_infer, b.compute_infer),
    compute_output: add(a.compute_output, b.compute_output),
  };
}

function add(a: Tally, b: Tally): Tally {
  return { count: a.count + b.count, ns: a.ns + b.ns };
}
