import { resolve } from 'node:path';
import { AppError } from '../../../src/errors.js';
import type { LoadOptions, LoadReport, RequestSet } from './load.js';
import { timed } from './timed.js';

const SCRIPT = resolve('bench', 'support', 'load', 'wrk.lua');

/** Load by wrk with one thread. */
export async function runWrk(options: LoadOptions, set: RequestSet): Promise<LoadReport> {
  const { connections, seconds, headers, url } = options;
  const command = [
    ...['wrk', '-t1', `-c${connections}`, `-d${Math.ceil(seconds)}s`, '--timeout', '10s', '-s', SCRIPT],
    ...Object.entries(headers).flatMap(([name, value]) => ['-H', `${name}: ${value}`]),
    ...[url, '--', set.folder, String(set.count)],
  ];
  const { stdout, cpuSeconds } = await timed(command, options.core);
  return { ...parseWrk(stdout), cpuSeconds };
}

/** Reads the line that wrk.lua prints at the end. */
export function parseWrk(stdout: string): Omit<LoadReport, 'cpuSeconds'> {
  const line = /^counted (\{.*\})$/m.exec(stdout)?.[1];
  if (line === undefined) throw new AppError('internal', `wrk printed no counts: ${stdout.slice(-500).trim()}`);
  const counted = JSON.parse(line) as Record<'requests' | 'tookUs' | 'p50Us' | 'p99Us' | 'errors', number>;
  return {
    requests: counted.requests,
    perSecond: counted.requests / (counted.tookUs / 1e6),
    p50Ms: counted.p50Us / 1000,
    p99Ms: counted.p99Us / 1000,
    errors: counted.errors,
  };
}
