/** How this machine brings model servers up. */
import { join } from 'node:path';
import type { Clock } from '../clock.js';
import type { Config } from '../config.js';
import type { Blobs } from '../core/blobs.js';
import type { Log } from '../log.js';
import { createArtifacts } from '../platform/fleet/artifacts.js';
import { createLauncher, type Launcher } from '../platform/fleet/launcher.js';
import { createPreparation } from '../platform/fleet/preparation.js';
import { Spares, type SparesOptions } from '../platform/fleet/spares.js';
import { createEnvironments } from '../platform/python/environments.js';
import { runtimeArgs } from './engines.js';
import { program } from './paths.js';

export interface ModelServers {
  /** A launcher that keeps so many spares warm, from now on. */
  launcher(spares: number): Launcher;
  /** Ends preparations under way. */
  close(): void;
}

export interface ModelServersOptions {
  readonly blobs: Blobs;
  readonly clock: Clock;
  readonly log: Log;
}

export async function openModelServers(
  config: Config,
  { blobs, clock, log }: ModelServersOptions,
): Promise<ModelServers> {
  const { python, baseEnv } = config.training;
  const { drainMs, bodyBytes } = config.limits;
  const artifacts = createArtifacts(join(config.cacheDir, 'artifacts'), blobs);
  const environments = createEnvironments({ cacheFolder: join(config.cacheDir, 'environments'), python, baseEnv });
  const preparation = createPreparation(environments, log);
  const launch: Omit<SparesOptions, 'count'> = {
    script: program('runtime'),
    maxBodyBytes: bodyBytes,
    drainMs,
    startTimeoutMs: 30_000,
    env: baseEnv,
    engineArgs: await runtimeArgs(config),
    log,
    clock,
  };
  return {
    launcher(count) {
      const spares = new Spares({ ...launch, count });
      spares.start();
      return createLauncher({ spares, artifacts, prepare: preparation.prepare, env: baseEnv, drainMs, log });
    },
    close: () => preparation.close(),
  };
}
