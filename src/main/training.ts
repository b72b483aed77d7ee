/** What runs training jobs, by the settings: processes of this machine, or Jobs of Kubernetes. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../clock.js';
import type { Config } from '../config.js';
import type { Blobs } from '../core/blobs.js';
import type { Runner } from '../core/training/runner.js';
import type { Log } from '../log.js';
import { KubernetesRunner } from '../platform/kubernetes/jobs/runner.js';
import { createEnvironments, type Environments } from '../platform/python/environments.js';
import { unpackCode } from '../platform/training/code.js';
import { withFolders } from '../platform/training/folders.js';
import { createLocalRunner } from '../platform/training/local-runner.js';
import { machineCapacity } from '../platform/training/machine.js';
import { openCluster } from './cluster.js';
import { jobWrapper } from './paths.js';

export interface Training {
  readonly runner: Runner;
  /** Python environments of this machine, for models and where jobs run here. */
  readonly environments: Environments;
  /** What the log says of it at start. */
  readonly facts: Readonly<Record<string, unknown>>;
  close(): Promise<void>;
}

export interface TrainingOptions {
  readonly config: Config;
  readonly blobs: Blobs;
  readonly clock: Clock;
  readonly log: Log;
}

export async function openTraining(options: TrainingOptions): Promise<Training> {
  return options.config.jobs === 'kubernetes' ? onCluster(options) : onThisMachine(options);
}

function onThisMachine({ config, blobs }: TrainingOptions): Training {
  const { training } = config;
  const capacity = machineCapacity();
  const workFolder = join(config.dataDir, 'work');
  const runner = createLocalRunner({
    workFolder,
    cacheFolder: join(config.cacheDir, 'environments'),
    capacity: {
      cpus: training.cpus ?? capacity.cpus,
      memoryMb: training.memoryMb ?? capacity.memoryMb,
      gpus: training.gpus ?? capacity.gpus,
    },
    baseEnv: training.baseEnv,
    python: training.python,
    stopGraceMs: training.stopGraceMs,
    maxLogBytes: training.logBytes,
  });
  return {
    runner: withFolders(runner, {
      unpackCode: (digest) => unpackCode(blobs, digest, join(config.cacheDir, 'code')),
      checkpointPath: (jobId) => join(workFolder, jobId, 'checkpoint'),
    }),
    environments: runner.environments,
    facts: { ...runner.slots.total },
    close: async () => {},
  };
}

async function onCluster({ config, blobs, clock, log }: TrainingOptions): Promise<Training> {
  const { training, cluster } = config;
  const api = await openCluster(config);
  const runner = new KubernetesRunner({
    api,
    blobs,
    clock,
    log,
    workFolder: join(config.dataDir, 'work'),
    maxLogBytes: training.logBytes,
    // both were checked with the settings
    image: cluster.jobImage ?? '',
    podsUrl: cluster.podsUrl ?? '',
    kueueQueue: cluster.kueueQueue,
    trainJobRuntime: cluster.trainJobRuntime,
    stopGraceSec: Math.ceil(training.stopGraceMs / 1000),
    wrapper: await readFile(jobWrapper(), 'utf8'),
  });
  return {
    runner,
    environments: createEnvironments({
      cacheFolder: join(config.cacheDir, 'environments'),
      baseEnv: training.baseEnv,
      python: training.python,
    }),
    facts: { jobs: 'kubernetes', namespace: api.namespace },
    close: async () => {
      await runner.close();
      await api.close();
    },
  };
}
