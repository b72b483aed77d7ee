import { resolve } from 'node:path';
import type { RequestSet } from '../support/load/load.js';
import { timed } from '../support/load/timed.js';

const SCRIPT = resolve('bench', 'overload', 'open-loop.mjs');

export interface OpenLoopOptions {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Requests that leave, on average, answered or not. */
  readonly perSecond: number;
  readonly seconds: number;
}

export interface Latencies {
  readonly count: number;
  /** Null when there were none. */
  readonly p50Ms: number | null;
  readonly p99Ms: number | null;
}

export interface OpenLoopReport {
  readonly sent: number;
  /** Answered 200. */
  readonly admitted: Latencies;
  /** Answered 429. */
  readonly refused: Latencies & { readonly withoutRetryAfter: number };
  /** How many were answered otherwise, by status, or not at all (`broken`). */
  readonly others: Readonly<Record<string, number>>;
  /** How late requests left. */
  readonly lateP99Ms: number;
}

export async function runOpenLoop(options: OpenLoopOptions, set: RequestSet): Promise<OpenLoopReport> {
  const headers = { ...set.headers, ...options.headers };
  const plan = JSON.stringify({ ...options, headers, folder: set.folder, count: set.count });
  const { stdout } = await timed([process.execPath, SCRIPT, plan], undefined);
  return JSON.parse(stdout) as OpenLoopReport;
}
