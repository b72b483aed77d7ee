import type { ModelStatistics } from '../protocol/statistics.js';
import type { Timing } from './batching/batcher.js';

interface Tally {
  count: number;
  ns: number;
}

/** What one answered request took, in milliseconds. */
export interface RequestTiming extends Timing {
  /** Reading the request, and printing the answer. */
  readonly readMs: number;
  readonly printMs: number;
}

const tally = (): Tally => ({ count: 0, ns: 0 });

/** Counts what one model does since it was loaded. */
export class StatisticsOfModel {
  private lastInference = 0;
  private rows = 0;
  private runs = 0;
  private readonly success = tally();
  private readonly fail = tally();
  private readonly queue = tally();
  private readonly input = tally();
  private readonly infer = tally();
  private readonly output = tally();
  private readonly batches = new Map<number, Tally>();

  /** Notes a run of the model, of one request or several. */
  ran(rows: number, ms: number): void {
    this.rows += rows;
    this.runs++;
    let batch = this.batches.get(rows);
    if (!batch) {
      batch = tally();
      this.batches.set(rows, batch);
    }
    add(batch, ms);
  }

  succeeded({ queueMs, inferMs, readMs, printMs }: RequestTiming, nowMs: number): void {
    this.lastInference = nowMs;
    add(this.success, queueMs + inferMs + readMs + printMs);
    add(this.queue, queueMs);
    add(this.input, readMs);
    add(this.infer, inferMs);
    add(this.output, printMs);
  }

  failed(tookMs: number): void {
    add(this.fail, tookMs);
  }

  print(name: string, version: string | undefined): ModelStatistics {
    return {
      name,
      version: version ?? '',
      last_inference: this.lastInference,
      inference_count: this.rows,
      execution_count: this.runs,
      inference_stats: {
        success: whole(this.success),
        fail: whole(this.fail),
        queue: whole(this.queue),
        compute_input: whole(this.input),
        compute_infer: whole(this.infer),
        compute_output: whole(this.output),
        cache_hit: tally(),
        cache_miss: tally(),
      },
      batch_stats: [...this.batches]
        .sort(([a], [b]) => a - b)
        .map(([rows, batch]) => ({
          batch_size: rows,
          compute_input: { count: batch.count, ns: 0 },
          compute_infer: whole(batch),
          compute_output: { count: batch.count, ns: 0 },
        })),
    };
  }
}

function add(to: Tally, ms: number): void {
  to.count++;
  to.ns += ms * 1e6;
}

function whole({ count, ns }: Tally): Tally {
  return { count, ns: Math.round(ns) };
}
