/** Runs one attempt of a training job: claim, run, register what it yields, hand over to the promotions. */
import type { Clock } from '../clock.js';
import { attemptQueueId, type Enqueue, type JobHandler } from '../core/jobs.js';
import { listPromotions } from '../core/promotions/store.js';
import {
  type AttemptKey,
  beat,
  claimJob,
  finishSucceeded,
  finishUnsuccessful,
  releaseJob,
  releasePreempted,
} from '../core/training/attempts.js';
import { type OutputDeps, registerOutputs } from '../core/training/outputs.js';
import { type AttemptEnd, LetGo, type Runner } from '../core/training/runner.js';
import { endedAmong } from '../core/training/store.js';
import { asAppError, messageOf } from '../errors.js';
import type { Log } from '../log.js';
import { createAttemptSink } from './attempt-sink.js';
import { patiently } from './patiently.js';

export interface TrainingDeps extends OutputDeps {
  readonly runner: Runner;
  readonly enqueue: Enqueue;
  readonly clock: Clock;
  readonly log: Log;
  readonly owner: string;
}

const BEAT_MS = 1000;

type Job = NonNullable<Awaited<ReturnType<typeof claimJob>>>;

export function createTrainingRun(deps: TrainingDeps): JobHandler<'training.run'> {
  return async ({ jobId }, shutdown) => {
    const job = await claimJob(deps.db, jobId, deps.owner);
    if (!job) return;
    const key: AttemptKey = { id: job.id, attempt: job.attempt, owner: deps.owner };
    const stop = new AbortController();
    const watch = watchAttempt(deps, key, stop);
    const leave = () => stop.abort(new LetGo('its worker was stopped'));
    shutdown.addEventListener('abort', leave, { once: true });
    if (shutdown.aborted) leave();
    const sink = createAttemptSink(deps.db, key);
    try {
      const end = await runAttempt(deps, job, sink, stop.signal);
      // its last lines go first: they are written only as long as the attempt is ours
      await sink.close();
      if (shutdown.aborted && end.kind !== 'succeeded') {
        return await releaseJob(deps.db, key, 'its worker was stopped');
      }
      // hours of training are not thrown away because the database was restarted
      await patiently(() => finish(deps, job, key, end), shutdown);
    } catch (error) {
      // nothing of the script's: the platform itself failed, so the attempt goes back to the queue
      deps.log.error('a training attempt failed in the platform', { job: job.id, attempt: job.attempt, error });
      await sink.log('system', `attempt ${job.attempt} failed in the platform: ${messageOf(error)}`).catch(() => {});
      await sink
        .close()
        .catch((lost) => deps.log.warn('log lines of a job were lost', { job: job.id, error: messageOf(lost) }));
      await patiently(() => releaseJob(deps.db, key, messageOf(error)), shutdown).catch(() => {});
    } finally {
      watch.stop();
      shutdown.removeEventListener('abort', leave);
    }
  };
}

async function runAttempt(
  deps: TrainingDeps,
  job: Job,
  sink: ReturnType<typeof createAttemptSink>,
  signal: AbortSignal,
): Promise<AttemptEnd> {
  const { spec } = job;
  try {
    return await deps.runner.run(
      {
        jobId: job.id,
        project: job.project,
        number: job.attempt,
        code: spec.code,
        entrypoint: spec.entrypoint,
        args: spec.args,
        requirements: spec.requirements,
        params: spec.params,
        env: spec.env,
        resources: spec.resources,
        timeLimitSec: spec.timeLimitSec,
        image: spec.image,
        // jobs that were accepted before there were replicas
        replicas: spec.replicas ?? 1,
        distributed: spec.distributed ?? { framework: 'none', processesPerReplica: 1 },
      },
      sink,
      signal,
    );
  } catch (error) {
    const failure = asAppError(error);
    if (failure.code !== 'invalid') throw error;
    return { kind: 'failed', reason: failure.message, exitCode: null, retryable: false };
  }
}

async function finish(deps: TrainingDeps, job: Job, key: AttemptKey, end: AttemptEnd): Promise<void> {
  if (end.kind === 'succeeded') {
    const failure = await succeed(deps, job, key, end.outputPath);
    if (failure === undefined) return;
    await conclude(deps, job, key, { state: 'failed', reason: failure, exitCode: 0, retryable: false });
    return;
  }
  if (end.kind === 'preempted') return releasePreempted(deps.db, key, end.reason);
  await conclude(deps, job, key, {
    state: end.kind === 'cancelled' ? 'cancelled' : 'failed',
    reason: end.reason,
    exitCode: end.kind === 'failed' ? end.exitCode : null,
    retryable: end.kind === 'failed' && end.retryable,
  });
}

/** Answers why the output is no model, when it is none. */
async function succeed(deps: TrainingDeps, job: Job, key: AttemptKey, outputPath: string): Promise<string | undefined> {
  const { model } = job.spec;
  let version: number | null = null;
  if (model !== undefined) {
    try {
      version = await registerOutputs(deps, {
        jobId: job.id,
        attempt: job.attempt,
        project: job.project,
        model,
        spec: job.spec,
        outputPath,
      });
    } catch (error) {
      const failure = asAppError(error);
      if (failure.code !== 'invalid' && failure.code !== 'unsupported') throw error;
      return failure.message;
    }
  }
  const reason = version === null ? 'finished' : `registered as version ${version} of ${model}`;
  if (!(await finishSucceeded(deps.db, key, { version, reason }))) {
    await cleanEnded(deps, [job.id]);
    return undefined;
  }
  for (const promotion of await listPromotions(deps.db, job.project, { job: job.id, limit: 100 })) {
    await tell(deps, deps.enqueue('promotion.decide', { promotionId: promotion.id }, { id: promotion.id }));
  }
  await deps.runner.clean(job.id);
  return undefined;
}

async function conclude(
  deps: TrainingDeps,
  job: Job,
  key: AttemptKey,
  end: Parameters<typeof finishUnsuccessful>[2],
): Promise<void> {
  const outcome = await finishUnsuccessful(deps.db, key, end);
  if (outcome === 'requeued') {
    await tell(deps, deps.enqueue('training.run', { jobId: job.id }, { id: attemptQueueId(job.id, job.attempt) }));
  }
  if (outcome !== 'requeued') await cleanEnded(deps, [job.id]);
}

/** Removes the working folders of those jobs that have ended; what an earlier try, or an earlier worker, did not get to. */
export async function cleanEnded(
  { db, runner }: Pick<TrainingDeps, 'db' | 'runner'>,
  ids: readonly string[],
): Promise<void> {
  for (const id of await endedAmong(db, ids)) await runner.clean(id);
}

/** What is written is true whether or not the queue hears of it; the reconcile pass finds it. */
async function tell(deps: TrainingDeps, enqueued: Promise<void>): Promise<void> {
  await enqueued.catch((error) => deps.log.warn('the queue did not take a job', { error: messageOf(error) }));
}

/** Says that the attempt lives, and hears when it shall stop or is no longer ours. */
function watchAttempt(deps: TrainingDeps, key: AttemptKey, stop: AbortController): { stop(): void } {
  let silentSince = deps.clock.now();
  const timer = setInterval(async () => {
    try {
      const { mine, cancelRequested } = await beat(deps.db, key);
      silentSince = deps.clock.now();
      if (cancelRequested) stop.abort(new Error('cancelled on request'));
      else if (!mine) stop.abort(new LetGo('the attempt was given to another worker'));
    } catch (error) {
      // a database that is away for a while ends nothing; others take over only when it is back and we stay silent
      deps.log.warn('cannot tell the database that an attempt lives', {
        job: key.id,
        silentMs: deps.clock.now() - silentSince,
        error: messageOf(error),
      });
    }
  }, BEAT_MS);
  return { stop: () => clearInterval(timer) };
}
