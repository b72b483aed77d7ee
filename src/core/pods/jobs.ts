/** What a job's pod is told, and what it may bring: the outputs and the checkpoint of the attempt that runs. */
import { AppError } from '../../errors.js';
import { addGarbage } from '../blob-references.js';
import type { Digest } from '../blobs.js';
import type { Db } from '../schema.js';
import type { JobSpec } from '../training/spec.js';
import type { JobPod } from './identity.js';

/** What the program around a script needs to know. */
export interface PodJob
  extends Pick<JobSpec, 'entrypoint' | 'args' | 'requirements' | 'params' | 'env' | 'timeLimitSec'> {
  readonly id: string;
  readonly attempt: number;
  /** Which of the attempt's pods asks. */
  readonly index: number;
  readonly code: Digest;
  /** Of an earlier attempt, or of this one before its pod was replaced. */
  readonly checkpoint: Digest | null;
}

interface JobOfPod {
  readonly spec: JobSpec;
  readonly checkpoint: Digest | null;
}

/** The pod's job, whose attempt it must be that runs: a pod of one that was given up learns so, and stops. */
export async function jobOfPod(db: Db, pod: JobPod): Promise<JobOfPod> {
  const job = await db
    .selectFrom('jobs')
    .select(['spec', 'state', 'attempt', 'checkpoint_digest as checkpoint'])
    .where('id', '=', pod.jobId)
    .executeTakeFirst();
  if (!job) throw new AppError('not_found', `there is no job "${pod.jobId}"`, { details: { job: pod.jobId } });
  if (job.state !== 'running' || job.attempt !== pod.attempt) throw notRunning(pod, job);
  return job;
}

export function podJob(pod: JobPod, { spec, checkpoint }: JobOfPod): PodJob {
  const { code, entrypoint, args, requirements, params, env, timeLimitSec } = spec;
  return {
    id: pod.jobId,
    attempt: pod.attempt,
    index: pod.index,
    code,
    entrypoint,
    args,
    requirements,
    params,
    env,
    timeLimitSec,
    checkpoint,
  };
}

/** Several pods of one attempt would overwrite each other. */
export function mayWrite(pod: JobPod): void {
  if (pod.index === 0) return;
  throw new AppError('forbidden', `pod ${pod.index} of attempt ${pod.attempt} may not write: only pod 0 does`, {
    details: { index: pod.index },
  });
}

/** Takes the outputs that the running attempt brought. Nothing refers to them but who is about to read them, so they go by themselves. */
export async function takeOutputs(db: Db, pod: JobPod, digest: Digest): Promise<void> {
  await addGarbage(db, [digest]);
  await jobOfPod(db, pod);
}

/** Makes a stored blob the job's checkpoint in place of the one before, if the pod's attempt is still the one that runs. */
export async function setCheckpoint(db: Db, pod: JobPod, digest: Digest): Promise<void> {
  const taken = await db.transaction().execute(async (tx) => {
    const job = await tx
      .selectFrom('jobs')
      .select(['state', 'attempt', 'checkpoint_digest'])
      .where('id', '=', pod.jobId)
      .forUpdate()
      .executeTakeFirst();
    if (job?.state !== 'running' || job.attempt !== pod.attempt) {
      await addGarbage(tx, [digest]);
      return { refused: job };
    }
    await tx.updateTable('jobs').set({ checkpoint_digest: digest }).where('id', '=', pod.jobId).execute();
    const { checkpoint_digest: before } = job;
    if (before !== null && before !== digest) await addGarbage(tx, [before]);
    return undefined;
  });
  if (taken) throw notRunning(pod, taken.refused);
}

function notRunning(pod: JobPod, job: { state: string; attempt: number } | undefined): AppError {
  const now = job ? `it is ${job.state}, attempt ${job.attempt}` : 'it is gone';
  return new AppError('conflict', `attempt ${pod.attempt} of job "${pod.jobId}" is not the one that runs: ${now}`, {
    details: { job: pod.jobId, attempt: pod.attempt, ...(job && { state: job.state, running: job.attempt }) },
  });
}

/** How many jobs one pass looks at. */
const FORGET_AT_MOST = 200;

/** Lets go of the checkpoints of jobs that have ended. Answers of how many. */
export async function forgetCheckpoints(db: Db): Promise<number> {
  return db.transaction().execute(async (tx) => {
    const ended = await tx
      .selectFrom('jobs')
      .select(['id', 'checkpoint_digest'])
      .where('ended_at', 'is not', null)
      .where('checkpoint_digest', 'is not', null)
      .limit(FORGET_AT_MOST)
      .forUpdate()
      .skipLocked()
      .execute();
    if (ended.length === 0) return 0;
    const ids = ended.map(({ id }) => id);
    await tx.updateTable('jobs').set({ checkpoint_digest: null }).where('id', 'in', ids).execute();
    await addGarbage(
      tx,
      ended.flatMap(({ checkpoint_digest: digest }) => digest ?? []),
    );
    return ended.length;
  });
}
