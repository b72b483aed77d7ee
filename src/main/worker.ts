/** The worker program: takes jobs from the queue, and keeps what is under way from being forgotten. */

import { createHash } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../clock.js';
import type { Config } from '../config.js';
import { newId } from '../core/id.js';
import { AppError, messageOf } from '../errors.js';
import type { Log } from '../log.js';
import { openBlobs } from '../platform/blobs/open.js';
import { migrate } from '../platform/db/migrate.js';
import { openDatabase } from '../platform/db/open.js';
import { createArtifacts } from '../platform/fleet/artifacts.js';
import { createLauncher } from '../platform/fleet/launcher.js';
import { createPreparation } from '../platform/fleet/preparation.js';
import { createSandbox } from '../platform/fleet/sandbox.js';
import { Spares } from '../platform/fleet/spares.js';
import { openQueue } from '../platform/queue/open.js';
import { unpackCode } from '../platform/training/code.js';
import { createLocalRunner } from '../platform/training/local-runner.js';
import { machineCapacity } from '../platform/training/machine.js';
import { createPromotionDecide } from '../workers/promotion-decide.js';
import { reconcile, takeBack } from '../workers/reconcile.js';
import { createRolloutAdvance } from '../workers/rollout-advance.js';
import { cleanEnded, createTrainingRun } from '../workers/training-run.js';
import { blobsOptions } from './blobs-options.js';
import { eventually } from './child.js';
import { runtimeArgs } from './engines.js';
import { program } from './paths.js';

const DATABASE_WAIT_MS = 60_000;
const RECONCILE_MS = 2000;
/** Attempts that may be under way at once; how many of them run is up to the machine's slots. */
const ATTEMPTS = 64;

/** Starts a worker; resolves when it takes jobs. */
export async function startWorker(config: Config, log: Log): Promise<{ stop(): Promise<void> }> {
  const { databaseUrl, redisUrl, training } = config;
  if (databaseUrl === undefined)
    throw new AppError('invalid', 'DATABASE_URL is not set: use `sluice up`, which brings a database along');
  const clock = systemClock;
  // two lives of a worker on one data folder have the same beginning of their names: the later one knows the earlier gone
  const machine = `${createHash('sha256').update(`${hostname()} ${config.dataDir}`).digest('hex').slice(0, 12)}/`;
  const owner = machine + newId('wk');
  const database = openDatabase(databaseUrl, log);
  const { db } = database;
  const [engineArgs, blobs, queue] = await Promise.all([
    runtimeArgs(config),
    openBlobs(config.blobsUrl, blobsOptions(config)),
    openQueue({ databaseUrl, log, ...(redisUrl ? { redisUrl } : {}) }),
  ]);
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
  const preparation = createPreparation(runner.environments, log);
  const drainMs = 1000;
  const env = training.baseEnv;
  const sandbox = createSandbox(
    createLauncher({
      spares: new Spares({
        script: program('runtime'),
        maxBodyBytes: config.limits.bodyBytes,
        drainMs,
        startTimeoutMs: 30_000,
        env,
        engineArgs,
        log,
        clock,
        count: 0,
      }),
      artifacts: createArtifacts(join(config.cacheDir, 'artifacts'), blobs),
      prepare: preparation.prepare,
      env,
      drainMs,
      log,
    }),
  );
  // before anything runs: what an earlier life left behind ends, and what it held is taken back
  const swept = await runner.sweep();
  if (swept > 0) log.warn('ended processes of an earlier worker', { count: swept });
  await eventually('the database cannot be used', DATABASE_WAIT_MS, log, async () => {
    await migrate(db);
    await takeBack(db, machine);
    await cleanEnded({ db, runner }, await readdir(workFolder).catch(() => []));
  });

  const { enqueue } = queue;
  const deps = { db, blobs, sandbox, enqueue, clock, log, owner };
  const host = await queue.host(
    {
      'training.run': createTrainingRun({
        ...deps,
        runner,
        unpackCode: (digest) => unpackCode(blobs, digest, join(config.cacheDir, 'code')),
        checkpointPath: (jobId) => join(workFolder, jobId, 'checkpoint'),
      }),
      'promotion.decide': createPromotionDecide(deps),
      'rollout.advance': createRolloutAdvance(deps),
    },
    { concurrency: { 'training.run': ATTEMPTS }, closeTimeoutMs: training.stopGraceMs + 5000 },
  );
  const stopped = new AbortController();
  const watching = watch();
  log.info('worker ready', { owner, ...runner.slots.total });

  async function watch(): Promise<void> {
    while (!stopped.signal.aborted) {
      try {
        await reconcile({ db, enqueue, clock });
      } catch (error) {
        log.warn('the reconcile pass failed; it comes again', { error: messageOf(error) });
      }
      await clock.sleep(RECONCILE_MS, stopped.signal).catch(() => {});
    }
  }

  return {
    async stop() {
      stopped.abort();
      await watching;
      preparation.close();
      await host.close();
      await sandbox.close();
      await queue.close();
      await database.close();
    },
  };
}
