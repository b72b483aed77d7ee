/** Peers written in Python: their virtual environments, and how such a server is started. */
import { join } from 'node:path';
import { loadConfig } from '../../src/config.js';
import { AppError } from '../../src/errors.js';
import { createEnvironments } from '../../src/platform/python/environments.js';
import { post } from '../support/post.js';
import { httpPrediction, MODEL, rowsOf } from '../support/predictions.js';
import { startServer } from '../support/server.js';
import type { RunningPeer, StartOptions } from './peer.js';

const INSTALL_TIMEOUT_MS = 1_200_000;

export interface PythonEnvironment {
  readonly python: string;
  readonly folder: string;
}

/** Where benchmarks keep what can be made again. */
export function benchCache(): string {
  return join(loadConfig().cacheDir, 'bench');
}

/** What a peer inherits of our environment, and where the model is. */
export function peerEnv(options: StartOptions): Readonly<Record<string, string>> {
  return { ...loadConfig().training.baseEnv, MODEL: options.model };
}

/** An environment with these packages, made once; `python`: the interpreter to make it from. */
export async function pythonEnvironment(requirements: readonly string[], python?: string): Promise<PythonEnvironment> {
  const { baseEnv, python: configured } = loadConfig().training;
  const environments = createEnvironments({
    cacheFolder: join(benchCache(), 'environments'),
    python: python ?? configured,
    baseEnv,
  });
  let told = false;
  const onLine = async () => {
    if (!told) process.stderr.write(`installing ${requirements.join(' ')}\n`);
    told = true;
  };
  const made = await environments.ensure(requirements, onLine, AbortSignal.timeout(INSTALL_TIMEOUT_MS));
  if (made.folder === null) throw new AppError('internal', 'a peer needs packages');
  return { python: made.python, folder: made.folder };
}

export interface HttpPeerSpec {
  readonly name: string;
  readonly command: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly port: number;
  readonly grpcPort?: number;
  /** Where predictions go. Default: the Open Inference Protocol's path. */
  readonly path?: string;
  readonly ownJson?: boolean;
}

/** Starts a server and waits for its first good prediction. */
export async function startHttpPeer(options: StartOptions, spec: HttpPeerSpec): Promise<RunningPeer> {
  const url = `http://127.0.0.1:${spec.port}${spec.path ?? `/v2/models/${MODEL}/infer`}`;
  const ping = httpPrediction(spec.ownJson ? 'rows' : 'json', rowsOf(1));
  const server = await startServer({
    ...options,
    name: spec.name,
    command: spec.command,
    env: { ...peerEnv(options), ...spec.env },
    ready: async () => (await post(url, ping)).status === 200,
  });
  const grpcUrl = spec.grpcPort === undefined ? undefined : `127.0.0.1:${spec.grpcPort}`;
  return { ...server, url, grpcUrl, headers: {} };
}
