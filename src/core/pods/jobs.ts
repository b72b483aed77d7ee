/**
 * What a job's pod is told, and what it may bring: outputs and a checkpoint. Pods outlive workers: those of attempt 1 go on
 * while the job waits for another worker, and as attempt 2 when that has taken them over. So they may until the job has
 * ended; of two attempts' pods at once the runner ends the older, and outputs count when the worker that has the job reads
 * their digest off its own Job.
 */
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

/** The pod's job, which must not have ended: a pod that is left over learns so, and stops. */
export async function jobOfPod(db: Db, pod: JobPod): Promise<JobOfPod> {
  const job = await db
    .selectFrom('jobs')
    .select(['spec', 'state', 'attempt', 'ended_at', 'checkpoint_digest as checkpoint'])
    .where('id', '=', pod.jobId)
    .executeTakeFirst();
  if (!job) throw new AppError('not_found', `there is no job "${pod.jobId}"`, { details: { job: pod.jobId } });
  if (!goesOn(job, pod)) throw notRunning(pod, job);
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

/** Takes the outputs that a pod brought in place of those before; they are kept until they are read and the job has ended. */
export async function takeOutputs(db: Db, pod: JobPod, digest: Digest): Promise<void> {
  await replaceDigest(db, pod, 'outputs_digest', digest);
}

/** Makes a stored blob the job's checkpoint in place of the one before. */
export async function setCheckpoint(db: Db, pod: JobPod, digest: Digest): Promise<void> {
  await replaceDigest(db, pod, 'checkpoint_digest', digest);
}

async function replaceDigest(
  db: Db,
  pod: JobPod,
  column: 'outputs_digest' | 'checkpoint_digest',
  digest: Digest,
): Promise<void> {
  const taken = await db.transaction().execute(async (tx) => {
    const job = await tx
      .selectFrom('jobs')
      .select(['state', 'attempt', 'ended_at', column])
      .where('id', '=', pod.jobId)
      .forUpdate()
      .executeTakeFirst();
    if (!job || !goesOn(job, pod)) {
      await addGarbage(tx, [digest]);
      return { refused: job };
    }
    await tx
      .updateTable('jobs')
      .set({ [column]: digest })
      .where('id', '=', pod.jobId)
      .execute();
    const before = job[column];
    if (before !== null && before !== digest) await addGarbage(tx, [before]);
    return undefined;
  });
  if (taken) throw notRunning(pod, taken.refused);
}

function goesOn(job: { attempt: number; ended_at: Date | null }, pod: JobPod): boolean {
  return job.ended_at === null && pod.attempt <= job.attempt;
}

function notRunning(pod: JobPod, job: { state: string; attempt: number } | undefined): AppError {
  const now = job ? `it is ${job.state}, attempt ${job.attempt}` : 'it is gone';
  return new AppError('conflict', `attempt ${pod.attempt} of job "${pod.jobId}" does not run: ${now}`, {
    details: { job: pod.jobId, attempt: pod.attempt, ...(job && { state: job.state, running: job.attempt }) },
  });
}

/** How many jobs one pass looks at. */
const FORGET_AT_MOST = 200;

/** Lets go of the checkpoints and outputs of jobs that have ended. Answers of how many. */
export async function forgetCheckpoints(db: Db): Promise<number> {
  return db.transaction().execute(async (tx) => {
    const ended = await tx
      .selectFrom('jobs')
      .select(['id', 'checkpoint_digest', 'outputs_digest'])
      .where('ended_at', 'is not', null)
      .where((eb) => eb.or([eb('checkpoint_digest', 'is not', null), eb('outputs_digest', 'is not', null)]))
      .limit(FORGET_AT_MOST)
      .forUpdate()
      .skipLocked()
      .execute();
    if (ended.length === 0) return 0;
    const ids = ended.map(({ id }) => id);
    await tx
      .updateTable('jobs')
      .set({ checkpoint_digest: null, outputs_digest: null })
      .where('id', 'in', ids)
      .execute();
    await addGarbage(
      tx,
      ended.flatMap((job) => [job.checkpoint_digest ?? [], job.outputs_digest ?? []].flat()),
    );
    return ended.length;
  });
}
