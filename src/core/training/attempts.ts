/**
 * Attempts of training jobs. An attempt belongs to one worker, its owner, and every write of an attempt names both, so
 * that a worker that lost its job (its heartbeat was too old) cannot write into the next attempt.
 */
import { type RawBuilder, sql } from 'kysely';
import { emit } from '../events/store.js';
import { openForJob } from '../promotions/open.js';
import type { Db } from '../schema.js';
import type { JobState } from './spec.js';

/** Takes a queued job for a worker. Undefined when there is nothing to do: it runs elsewhere, or it ended. */
export async function claimJob(db: Db, id: string, owner: string) {
  return db.transaction().execute(async (tx) => {
    const job = await tx
      .updateTable('jobs')
      .set((eb) => ({
        state: 'running',
        phase: 'starting',
        owner,
        heartbeat_at: sql<Date>`now()`,
        attempt: eb('attempt', '+', 1),
        started_at: eb.fn.coalesce('started_at', sql<Date>`now()`),
      }))
      .where('id', '=', id)
      .where('state', '=', 'queued')
      .returningAll()
      .executeTakeFirst();
    if (job)
      await emit(tx, {
        project: job.project,
        kind: 'job.started',
        subject: `job/${id}`,
        data: { job: id, attempt: job.attempt },
      });
    return job;
  });
}

export interface AttemptKey {
  readonly id: string;
  readonly attempt: number;
  readonly owner: string;
}

/** Says that the attempt lives. Answers false when it is no longer this worker's. */
export async function beat(db: Db, key: AttemptKey): Promise<{ mine: boolean; cancelRequested: boolean }> {
  const row = await ownAttempt(db, key)
    .set({ heartbeat_at: sql<Date>`now()` })
    .returning('cancel_requested_at')
    .executeTakeFirst();
  return { mine: row !== undefined, cancelRequested: row?.cancel_requested_at != null };
}

export async function setPhase(db: Db, key: AttemptKey, phase: string): Promise<void> {
  await ownAttempt(db, key).set({ phase }).execute();
}

/** Ends a job as succeeded and opens the promotions of what it yielded, in one step: neither stands without the other. */
export async function finishSucceeded(
  db: Db,
  key: AttemptKey,
  result: { version: number | null; reason: string },
): Promise<boolean> {
  return db.transaction().execute(async (tx) => {
    const job = await ownAttempt(tx, key)
      .set({
        state: 'succeeded',
        phase: '',
        reason: result.reason,
        version: result.version,
        exit_code: 0,
        ended_at: new Date(),
      })
      .returningAll()
      .executeTakeFirst();
    if (!job) return false;
    const { model, endpoint } = job.spec;
    await emit(tx, {
      project: job.project,
      kind: 'job.succeeded',
      subject: `job/${job.id}`,
      data: { job: job.id, model: model ?? null, version: result.version },
    });
    if (model && result.version !== null) {
      await openForJob(tx, {
        project: job.project,
        model,
        version: result.version,
        job,
        ...(endpoint ? { endpoint } : {}),
      });
    }
    return true;
  });
}

/** Ends an attempt that did not succeed: back to the queue when there are retries left and one may help, else to its end. */
export async function finishUnsuccessful(
  db: Db,
  key: AttemptKey,
  end: { state: 'failed' | 'cancelled'; reason: string; exitCode: number | null; retryable: boolean },
): Promise<'requeued' | 'ended' | 'not_mine'> {
  return db.transaction().execute(async (tx) => {
    const job = await tx.selectFrom('jobs').selectAll().where('id', '=', key.id).forUpdate().executeTakeFirst();
    if (job?.state !== 'running' || job.attempt !== key.attempt || job.owner !== key.owner) return 'not_mine';
    const cancelled = end.state === 'cancelled' || job.cancel_requested_at !== null;
    const again = !cancelled && end.retryable && job.attempt - job.lost_attempts <= job.spec.retries;
    if (again) {
      const reason = `attempt ${job.attempt} failed: ${end.reason}`;
      await tx
        .updateTable('jobs')
        .set({ state: 'queued', phase: 'queued', owner: null, reason, exit_code: end.exitCode })
        .where('id', '=', key.id)
        .execute();
      await emit(tx, {
        project: job.project,
        kind: 'job.retried',
        subject: `job/${key.id}`,
        data: { job: key.id, attempt: job.attempt, reason },
      });
      return 'requeued';
    }
    const state = cancelled ? 'cancelled' : 'failed';
    await tx
      .updateTable('jobs')
      .set({ state, phase: '', reason: end.reason, exit_code: end.exitCode, ended_at: new Date() })
      .where('id', '=', key.id)
      .execute();
    await emit(tx, {
      project: job.project,
      kind: `job.${state}`,
      subject: `job/${key.id}`,
      data: { job: key.id, attempt: job.attempt, reason: end.reason },
    });
    return 'ended';
  });
}

/** Gives a running attempt back to the queue because its worker stops; it does not count against the retries. */
export function releaseJob(db: Db, key: AttemptKey, reason: string): Promise<void> {
  return release(db, key, reason, ANY_NUMBER);
}

/**
 * Gives a running attempt back to the queue because what ran it was taken away: the script did nothing wrong, so it does
 * not count against the retries; but not more often than attempts may be lost.
 */
export function releasePreempted(db: Db, key: AttemptKey, reason: string): Promise<void> {
  return release(db, key, `attempt ${key.attempt} was taken away: ${reason}`, LOST_AT_MOST);
}

async function release(db: Db, key: AttemptKey, reason: string, lostAtMost: number): Promise<void> {
  await db.transaction().execute(async (tx) => {
    const job = await ownAttempt(tx, key).set(giveBack(reason, lostAtMost)).returning(GIVEN_BACK).executeTakeFirst();
    if (job && job.state !== 'queued') await tellEnded(tx, job);
  });
}

/**
 * Gives jobs back to the queue whose worker has not been heard of for `silentMs`. The lost attempt does not count
 * against the retries: the script did nothing wrong. `deadOwner` names workers that are known to be gone, by the
 * beginning of their name. A job that was to be cancelled ends here. Answers what to enqueue: the oldest that wait.
 */
export async function recoverJobs(
  db: Db,
  silentMs: number,
  deadOwner?: string,
): Promise<{ id: string; attempt: number }[]> {
  return db.transaction().execute(async (tx) => {
    const lost = await tx
      .updateTable('jobs')
      .set(giveBack(sql<string>`'attempt ' || attempt || ' was lost with its worker'`, LOST_AT_MOST))
      .where('state', '=', 'running')
      .where((eb) =>
        eb.or([
          eb('heartbeat_at', '<', sql<Date>`now() - ${silentMs} * interval '1 millisecond'`),
          ...(deadOwner === undefined ? [] : [sql<boolean>`starts_with(owner, ${deadOwner})`]),
        ]),
      )
      .returning(GIVEN_BACK)
      .execute();
    for (const job of lost) {
      if (job.state !== 'queued') await tellEnded(tx, job);
      else {
        await emit(tx, {
          project: job.project,
          kind: 'job.recovered',
          subject: `job/${job.id}`,
          data: { job: job.id, attempt: job.attempt },
        });
      }
    }
    return tx
      .selectFrom('jobs')
      .select(['id', 'attempt'])
      .where('state', '=', 'queued')
      .orderBy('created_at')
      .limit(500)
      .execute();
  });
}

/** A job that is lost with its worker so often is likely what ends the workers. */
const LOST_AT_MOST = 20;
/** A worker that stops in order is nobody's fault. */
const ANY_NUMBER = 2 ** 31 - 1;

/** What becomes of a running job without its worker: it waits again, or ends where it was cancelled or lost too often. */
function giveBack(reason: string | RawBuilder<string>, lostAtMost: number) {
  const cancelled = sql<boolean>`cancel_requested_at is not null`;
  const givenUp = sql<boolean>`lost_attempts + 1 >= ${lostAtMost}`;
  return {
    state: sql<JobState>`case when ${cancelled} then 'cancelled' when ${givenUp} then 'failed' else 'queued' end`,
    phase: sql<string>`case when ${cancelled} or ${givenUp} then '' else 'queued' end`,
    ended_at: sql<Date | null>`case when ${cancelled} or ${givenUp} then now() end`,
    owner: null,
    reason,
    lost_attempts: sql<number>`lost_attempts + 1`,
  };
}

async function tellEnded(tx: Db, job: { id: string; project: string; state: JobState; reason: string }): Promise<void> {
  await emit(tx, {
    project: job.project,
    kind: `job.${job.state}`,
    subject: `job/${job.id}`,
    data: { job: job.id, reason: job.reason },
  });
}

const GIVEN_BACK = ['id', 'project', 'attempt', 'state', 'reason'] as const;

function ownAttempt(db: Db, key: AttemptKey) {
  return db
    .updateTable('jobs')
    .where('id', '=', key.id)
    .where('state', '=', 'running')
    .where('attempt', '=', key.attempt)
    .where('owner', '=', key.owner);
}

/** A row when the attempt runs and is this worker's; locked, so that it stays so until what depends on it is written. */
export function runningAttempt(key: AttemptKey) {
  return sql`select id from jobs
    where id = ${key.id} and state = 'running' and attempt = ${key.attempt} and owner = ${key.owner} for share`;
}
