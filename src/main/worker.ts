/** The worker program: takes jobs from the queue, and keeps what is under way from being forgotten. */

import { createHash } from 'node:crypto';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../clock.js';
import type { Config } from '../config.js';
import { WorkerKeys } from '../core/access/worker-keys.js';
import { livingGateways } from '../core/gateways/store.js';
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
import { createAskGateway } from '../platform/gateways/ask-gateway.js';
import { openQueue } from '../platform/queue/open.js';
import { createAskAddress, createAskWebhook, createPostWebhook } from '../platform/webhooks/post.js';
import { createBanditAdjust } from '../workers/bandit-adjust.js';
import { createBatchRun } from '../workers/batch-run.js';
import { clean } from '../workers/clean.js';
import { Holdings } from '../workers/holdings.js';
import { createPredictionRun } from '../workers/prediction-run.js';
import { createPromotionDecide } from '../workers/promotion-decide.js';
import { reconcile, takeBack } from '../workers/reconcile.js';
import { createRolloutAdvance } from '../workers/rollout-advance.js';
import { cleanEnded, createTrainingRun } from '../workers/training-run.js';
import { createWebhookPush } from '../workers/webhook-push.js';
import { createWebhookSend } from '../workers/webhook-send.js';
import { blobsOptions } from './blobs-options.js';
import { eventually } from './child.js';
import { runtimeArgs } from './engines.js';
import { openKnative } from './knative.js';
import { program } from './paths.js';
import { openTraining } from './training.js';

const DATABASE_WAIT_MS = 60_000;
const RECONCILE_MS = 2000;
const CLEAN_MS = 30_000;
/** Most bytes of tensors in a request of a batch prediction. */
const BATCH_REQUEST_BYTES = 4 * 2 ** 20;
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
  const { runner, environments, ...jobs } = await openTraining({ config, blobs, clock, log });
  const preparation = createPreparation(environments, log);
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
    config.fleet === 'knative',
  );
  // before anything runs: what an earlier life left behind ends, and what it held is taken back
  const swept = await runner.sweep();
  if (swept > 0) log.warn('ended processes of an earlier worker', { count: swept });
  await eventually('the database cannot be used', DATABASE_WAIT_MS, log, async () => {
    await migrate(db);
    await takeBack(db, machine);
  });
  const cleanJobs = async () => cleanEnded({ db, runner }, await runner.leftovers());
  await cleanJobs().catch((error) => log.warn('what ended jobs left was not cleaned', { error: messageOf(error) }));

  const { enqueue } = queue;
  const deps = { db, blobs, sandbox, enqueue, clock, log, owner };
  const keys = new WorkerKeys(db, owner, clock);
  const ask = createAskGateway({
    gateways: () => livingGateways(db),
    keyFor: (project, refused) => keys.keyFor(project, refused),
    // a gateway is silent for as long as a prediction may take
    idleMs: config.limits.predictTimeoutMs + 30_000,
  });
  const holdings = new Holdings(db, 'predictions', owner, log);
  const batchHoldings = new Holdings(db, 'batch_predictions', owner, log);
  const reach = { allowPrivate: config.asynchronous.webhooksToPrivate };
  const post = createPostWebhook(reach);
  const measuring = {
    ask: createAskAddress(reach),
    askOwn: createAskAddress({ allowPrivate: true }),
    prometheusUrl: config.prometheusUrl,
  };
  const host = await queue.host(
    {
      'training.run': createTrainingRun({ ...deps, runner }),
      'promotion.decide': createPromotionDecide({ ...deps, askWebhook: createAskWebhook(reach) }),
      'rollout.advance': createRolloutAdvance({ ...deps, measuring }),
      'bandit.adjust': createBanditAdjust(deps),
      'prediction.run': createPredictionRun({ ...deps, ask, holdings }),
      'webhook.send': createWebhookSend({ ...deps, post }),
      'webhook.push': createWebhookPush({ ...deps, post }),
      'batch.run': createBatchRun({
        ...deps,
        ask,
        holdings: batchHoldings,
        maxRequestBytes: Math.min(BATCH_REQUEST_BYTES, config.limits.bodyBytes / 2),
      }),
    },
    { concurrency: { 'training.run': ATTEMPTS }, closeTimeoutMs: training.stopGraceMs + 5000 },
  );
  const stopped = new AbortController();
  const watching = [
    repeat('the reconcile pass', RECONCILE_MS, async () => {
      await reconcile({ db, enqueue, clock });
      return false;
    }),
    repeat('the cleaning pass', CLEAN_MS, () => clean({ db, blobs, keepMs: config.asynchronous.keepMs })),
    repeat('the cleaning of jobs', CLEAN_MS, async () => {
      await cleanJobs();
      return false;
    }),
  ];
  const knative = config.fleet === 'knative' ? await openKnative(config, { db, databaseUrl, clock, log }) : undefined;
  log.info('worker ready', { owner, ...jobs.facts });

  /** Makes a pass again and again until the worker stops; at once when the last one says that there is more to do. */
  async function repeat(what: string, everyMs: number, pass: () => Promise<boolean>): Promise<void> {
    while (!stopped.signal.aborted) {
      let more = false;
      try {
        more = await pass();
      } catch (error) {
        log.warn(`${what} failed; it comes again`, { error: messageOf(error) });
      }
      await clock.sleep(more ? 0 : everyMs, stopped.signal).catch(() => {});
    }
  }

  return {
    async stop() {
      stopped.abort();
      await Promise.all([...watching, knative?.close()]);
      preparation.close();
      await host.close();
      holdings.close();
      batchHoldings.close();
      ask.close();
      await sandbox.close();
      await jobs.close();
      await queue.close();
      await database.close();
    },
  };
}
