/**
 * Counters and histograms for what happens with every request: each set of labels has a cell that is looked up once and
 * then only added to. prom-client's own look labels up at every addition, which costs more than all else of counting; it
 * prints these like its own.
 */
import type { Metric, Registry } from 'prom-client';

export interface CellOptions<L extends string> {
  readonly name: string;
  readonly help: string;
  readonly labelNames: readonly L[];
}

export interface CounterCell {
  inc(): void;
}

export interface HistogramCell {
  observe(value: number): void;
}

interface Printed {
  readonly labels: Readonly<Record<string, string | number>>;
  readonly value: number;
  readonly metricName?: string;
}

type Labels<L extends string> = Readonly<Record<L, string>>;

/** The cells of one metric by their labels. */
class Cells<L extends string, C> {
  readonly all = new Map<string, { readonly labels: Labels<L>; readonly cell: C }>();

  constructor(
    private readonly labelNames: readonly L[],
    private readonly make: () => C,
  ) {}

  cell(labels: Labels<L>): C {
    const key = this.labelNames.map((name) => labels[name]).join('\n');
    let entry = this.all.get(key);
    if (!entry) {
      entry = { labels, cell: this.make() };
      this.all.set(key, entry);
    }
    return entry.cell;
  }
}

export class CellCounter<L extends string> {
  private readonly cells: Cells<L, CounterCell & { count: number }>;

  constructor(private readonly options: CellOptions<L>) {
    this.cells = new Cells(options.labelNames, () => ({
      count: 0,
      inc() {
        this.count++;
      },
    }));
  }

  /** Has the registry print it. */
  registerIn(registry: Registry): this {
    const values = () => [...this.cells.all.values()].map(({ labels, cell }) => ({ labels, value: cell.count }));
    register(registry, this.options, 'counter', values);
    return this;
  }

  /** The cell of these labels; to be kept. */
  cell(labels: Labels<L>): CounterCell {
    return this.cells.cell(labels);
  }
}

export class CellHistogram<L extends string> {
  private readonly cells: Cells<L, Buckets>;

  /** `bounds`: upper, inclusive, ascending; one without end is added. */
  constructor(private readonly options: CellOptions<L> & { readonly bounds: readonly number[] }) {
    this.cells = new Cells(options.labelNames, () => new Buckets(options.bounds));
  }

  /** Has the registry print it. */
  registerIn(registry: Registry): this {
    const { name } = this.options;
    const values = () => [...this.cells.all.values()].flatMap(({ labels, cell }) => cell.print(name, labels));
    register(registry, this.options, 'histogram', values);
    return this;
  }

  /** The cell of these labels; to be kept. */
  cell(labels: Labels<L>): HistogramCell {
    return this.cells.cell(labels);
  }
}

class Buckets implements HistogramCell {
  private readonly counts: Float64Array;
  private sum = 0;

  constructor(private readonly bounds: readonly number[]) {
    this.counts = new Float64Array(bounds.length + 1);
  }

  observe(value: number): void {
    const { bounds } = this;
    let at = 0;
    while (at < bounds.length && value > (bounds[at] as number)) at++;
    this.counts[at] = (this.counts[at] as number) + 1;
    this.sum += value;
  }

  print(name: string, labels: Readonly<Record<string, string>>): Printed[] {
    let below = 0;
    const buckets = Array.from(this.counts, (count, at) => {
      below += count;
      return { metricName: `${name}_bucket`, labels: { le: this.bounds[at] ?? '+Inf', ...labels }, value: below };
    });
    return [
      ...buckets,
      { metricName: `${name}_sum`, labels, value: this.sum },
      { metricName: `${name}_count`, labels, value: below },
    ];
  }
}

/** Of a metric the registry asks for no more than this. */
function register(
  registry: Registry,
  { name, help }: CellOptions<string>,
  type: 'counter' | 'histogram',
  values: () => readonly Printed[],
): void {
  const get = async () => ({ name, help, type, values: values(), aggregator: 'sum' });
  registry.registerMetric({ name, help, get, reset: () => {} } as unknown as Metric);
}
