/** One measurement of a running server under load, and the middle of several. */
import type { LoadGenerator, LoadOptions } from './load/load.js';
import { median } from './numbers.js';
import { busySeconds, cpuSeconds } from './proc.js';

/** A server that runs, as a measurement sees it. */
export interface Target {
  /** Where predictions go: a URL, or for gRPC host:port. */
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  /** All its processes but those of `backendPids`. */
  pids(): readonly number[];
  /** Processes behind it that compute the answers; none: it does so itself. */
  backendPids?(): readonly number[];
}

export interface Sample {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Processor seconds for 1,000 requests, of the server and all behind it. */
  readonly cpuPer1000: number;
  /** The same without what is behind it. */
  readonly ownCpuPer1000: number;
  readonly errors: number;
  /** What the load generator used, in cores. */
  readonly loadCores: number;
  /** Work of others, in cores: what it was more than nothing makes the figures worse than they are. */
  readonly foreign: number;
}

export type SampleOptions = Pick<LoadOptions, 'connections' | 'seconds' | 'core'>;

export async function takeSample(target: Target, load: LoadGenerator, options: SampleOptions): Promise<Sample> {
  const used = () => ({
    own: cpuSeconds(target.pids()),
    backend: cpuSeconds(target.backendPids?.() ?? []),
    busy: busySeconds(options.core),
    at: performance.now() / 1000,
  });
  const before = used();
  const report = await load.run({ url: target.url, headers: target.headers, ...options });
  const after = used();
  const seconds = after.at - before.at;
  const own = after.own - before.own;
  const cpu = own + after.backend - before.backend;
  const foreign = after.busy - before.busy - cpu - report.cpuSeconds;
  return {
    perSecond: report.perSecond,
    p50Ms: report.p50Ms,
    p99Ms: report.p99Ms,
    errors: report.errors,
    cpuPer1000: (cpu / report.requests) * 1000,
    ownCpuPer1000: (own / report.requests) * 1000,
    loadCores: report.cpuSeconds / seconds,
    foreign: Math.max(0, foreign / seconds),
  };
}

/** The median of one figure over the rounds. */
export function middle(samples: readonly Sample[], figure: keyof Sample): number {
  return median(samples.map((sample) => sample[figure]));
}

export function errorsOf(samples: readonly Sample[]): number {
  return samples.reduce((sum, sample) => sum + sample.errors, 0);
}
