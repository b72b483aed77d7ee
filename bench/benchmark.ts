import type { Cleanup } from './support/cleanup.js';

/** A table as it is printed: Markdown, so that a README can hold it unchanged. */
export interface Table {
  readonly title: string;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/** What a benchmark measured. */
export interface BenchmarkResult {
  readonly tables: readonly Table[];
  /** How it was measured, each aim with whether it was met, and what to know before believing the figures. */
  readonly notes: readonly string[];
  /** Each part that did not run, with the reason; never empty by omission. */
  readonly notRun: readonly string[];
}

export interface BenchmarkOptions {
  /** Those of the command line after the name. */
  readonly args: string[];
  /** Undone when the benchmark ends, however it does. */
  readonly cleanup: Cleanup;
}

/** One measurement of this program beside its floor: the same work without it, or beside others that do its work. */
export interface Benchmark {
  /** As given on the command line. */
  readonly name: string;
  /** One line: what is measured against what. */
  readonly summary: string;
  run(options: BenchmarkOptions): Promise<BenchmarkResult>;
}
