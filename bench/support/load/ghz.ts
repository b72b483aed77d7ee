/** Load over gRPC by ghz, built once from the Go module proxy. */
import { execFile } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { childEnv } from '../../../src/config.js';
import { AppError, messageOf } from '../../../src/errors.js';
import { exists } from '../../../src/platform/exists.js';
import type { GrpcPrediction } from '../predictions.js';
import type { LoadGenerator, LoadOptions, LoadReport } from './load.js';
import { timed } from './timed.js';

export const PROTO = resolve('bench', 'support', 'load', 'open-inference.proto');
const METHOD = 'inference.GRPCInferenceService.ModelInfer';
const VERSION = 'v0.120.0';
const BUILD_TIMEOUT_MS = 600_000;
/** Connections that the calls in flight share, as those of a few client processes would. */
const CONNECTIONS = 4;

/** The program's path, built when it is not there; `unsupported` where it cannot be built. */
export async function installGhz(cacheFolder: string): Promise<string> {
  const folder = join(cacheFolder, `ghz-${VERSION}`);
  const path = join(folder, 'ghz');
  if (await exists(path)) return path;
  process.stderr.write(`building ghz ${VERSION}\n`);
  try {
    await promisify(execFile)('go', ['install', `github.com/bojand/ghz/cmd/ghz@${VERSION}`], {
      env: childEnv({ GOBIN: folder }),
      timeout: BUILD_TIMEOUT_MS,
    });
  } catch (error) {
    const noGo = error instanceof Error && 'code' in error && error.code === 'ENOENT';
    throw new AppError(
      'unsupported',
      noGo ? 'the load generator ghz needs Go, which is not installed' : `ghz cannot be built: ${messageOf(error)}`,
      { cause: error },
    );
  }
  return path;
}

/** Calls `ModelInfer` with the requests in turn. `folder` becomes theirs. */
export async function openGrpcLoad(
  ghz: string,
  folder: string,
  requests: readonly GrpcPrediction[],
): Promise<LoadGenerator> {
  await mkdir(folder, { recursive: true });
  const data = join(folder, 'requests.json');
  await writeFile(data, JSON.stringify(requests));
  return {
    name: `ghz ${VERSION}, calls on at most ${CONNECTIONS} connections`,
    run: (options) => runGhz(ghz, data, options),
  };
}

async function runGhz(ghz: string, data: string, options: LoadOptions): Promise<LoadReport> {
  const { connections, seconds, headers, core, url } = options;
  const command = [
    ...[ghz, '--insecure', '--proto', PROTO, '--call', METHOD, '-D', data, '-m', JSON.stringify(headers)],
    // the bodies hold no templates, and looking for some would cost more than the call
    ...['--disable-template-functions', '--disable-template-data'],
    ...['-c', String(connections), '--connections', String(Math.min(connections, CONNECTIONS))],
    // calls in flight at the end are waited for, so that they do not count as errors
    ...['-z', `${seconds}s`, '--duration-stop', 'wait', '-t', '10s', '-O', 'json', url],
  ];
  const { stdout, cpuSeconds } = await timed(command, core);
  return { ...parseGhz(stdout), cpuSeconds };
}

interface GhzOutput {
  readonly count: number;
  /** Nanoseconds, like all its times. */
  readonly total: number;
  readonly latencyDistribution: readonly { readonly percentage: number; readonly latency: number }[] | null;
  readonly statusCodeDistribution: Readonly<Record<string, number>> | null;
}

/** Reads ghz's JSON output. */
export function parseGhz(stdout: string): Omit<LoadReport, 'cpuSeconds'> {
  const { count, total, latencyDistribution, statusCodeDistribution } = JSON.parse(stdout) as GhzOutput;
  const good = statusCodeDistribution?.OK ?? 0;
  const latencyMs = (percentage: number) =>
    (latencyDistribution?.find((entry) => entry.percentage === percentage)?.latency ?? Number.NaN) / 1e6;
  return {
    requests: count,
    perSecond: good / (total / 1e9),
    p50Ms: latencyMs(50),
    p99Ms: latencyMs(99),
    errors: count - good,
  };
}
