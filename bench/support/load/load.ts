/** Keeps a number of connections busy for some seconds, each sending its next request when it has its answer. */
import { spawnSync } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError } from '../../../src/errors.js';
import type { HttpPrediction } from '../predictions.js';
import { runBuiltIn } from './built-in.js';
import { runWrk } from './wrk.js';

export interface LoadOptions {
  /** Where HTTP requests are posted; for gRPC host:port. */
  readonly url: string;
  /** Besides those of the requests themselves. */
  readonly headers: Readonly<Record<string, string>>;
  readonly connections: number;
  readonly seconds: number;
  /** The only core that the generator may use; undefined: any. */
  readonly core: number | undefined;
}

export interface LoadReport {
  readonly requests: number;
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Answers that tell of an error, and broken connections. */
  readonly errors: number;
  /** What the generator itself used. */
  readonly cpuSeconds: number;
}

export interface LoadGenerator {
  readonly name: string;
  run(options: LoadOptions): Promise<LoadReport>;
}

/** Requests on disk, where every generator can read them: files body-0, body-1, … that share their headers. */
export interface RequestSet {
  readonly folder: string;
  readonly count: number;
  readonly headers: Readonly<Record<string, string>>;
}

export async function writeRequests(folder: string, requests: readonly HttpPrediction[]): Promise<RequestSet> {
  await mkdir(folder, { recursive: true });
  const headers = requests[0]?.headers ?? {};
  if (requests.some((request) => JSON.stringify(request.headers) !== JSON.stringify(headers)))
    throw new AppError('internal', 'the requests of one load must have the same headers');
  await Promise.all(requests.map(({ body }, at) => writeFile(join(folder, `body-${at}`), body)));
  return { folder, count: requests.length, headers };
}

/** Posts the requests in turn, by wrk where it is installed, else by built-in.mjs. `folder` becomes theirs. */
export async function openHttpLoad(folder: string, requests: readonly HttpPrediction[]): Promise<LoadGenerator> {
  const set = await writeRequests(folder, requests);
  const missing = spawnSync('wrk', ['-v']).error !== undefined;
  const run = missing ? runBuiltIn : runWrk;
  const name = missing ? 'built-in.mjs (node:http), since wrk is not installed' : 'wrk, one thread';
  return { name, run: (options) => run({ ...options, headers: { ...set.headers, ...options.headers } }, set) };
}
