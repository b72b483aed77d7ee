/**
 * Training jobs in Postgres. An attempt belongs to one worker, its owner, and every write of an attempt names both, so
 * that a worker that lost its job (its heartbeat was too old) cannot write into the next attempt.
 */
import { sql } from 'kysely';
import { AppError } from '../../errors.js';
import { findBlob } from '../datasets/store.js';
import { emit } from '../events/store.js';
import { newId } from '../id.js';
import { openPromotions } from '../promotions/store.js';
import type { Db } from '../schema.js';
import type { LogStream } from './runner.js';
import type { JobSpec, JobState } from './spec.js';

/** Accepts a job: once this returns it is in Postgres and will reach its end. The same request key again is the same job. */
export async function submitJob(
  db: Db,
  project: string,
  spec: JobSpec,
  requestKey?: string,
): Promise<{ id: string; created: boolean }> {
  return db.transaction().execute(async (tx) => {
    if (!(await findBlob(tx, project, spec.code))) {
      throw new AppError('invalid', `code ${spec.code} was not uploaded to this project`, {
        details: { field: 'code', value: spec.code },
      });
    }
    const id = newId('job');
    const made = await tx
      .insertInto('jobs')
      .values({
        id,
        project,
        name: spec.name,
        spec: JSON.stringify(spec),
        state: 'queued',
        phase: 'queued',
        attempt: 0,
        lost_attempts: 0,
        reason: '',
        request_key: requestKey ?? null,
      })
      .onConflict((conflict) => conflict.doNothing())
      .executeTakeFirst();
    if (made.numInsertedOrUpdatedRows === 1n) {
      await emit(tx, {
        project,
        kind: 'job.submitted',
        subject: `job/${id}`,
        data: { job: id, name: spec.name, model: spec.model ?? null },
      });
      return { id, created: true };
    }
    const before = await tx
      .selectFrom('jobs')
      .select(['id', 'spec'])
      .where('project', '=', project)
      .where('request_key', '=', requestKey ?? '')
      .executeTakeFirstOrThrow();
    if (JSON.stringify(canonical(before.spec)) !== JSON.stringify(canonical(spec))) {
      throw new AppError('conflict', `this idempotency key was used for another job, ${before.id}`, {
        details: { job: before.id },
      });
    }
    return { id: before.id, created: false };
  });
}

export async function listJobs(db: Db, project: string, filter: { state?: JobState | undefined; limit: number }) {
  return db
    .selectFrom('jobs')
    .selectAll()
    .where('project', '=', project)
    .$if(filter.state !== undefined, (query) => query.where('state', '=', filter.state as JobState))
    .orderBy('created_at', 'desc')
    .limit(filter.limit)
    .execute();
}

export async function getJob(db: Db, project: string, id: string) {
  const job = await db
    .selectFrom('jobs')
    .selectAll()
    .where('project', '=', project)
    .where('id', '=', id)
    .executeTakeFirst();
  if (!job) throw new AppError('not_found', `there is no job "${id}"`, { details: { job: id } });
  return job;
}

/** Asks a job to stop: a queued one ends at once, a running one is told by its worker. One that ended is left as it is. */
export async function cancelJob(db: Db, project: string, id: string, actor: string): Promise<JobState> {
  return db.transaction().execute(async (tx) => {
    const job = await tx
      .selectFrom('jobs')
      .selectAll()
      .where('project', '=', project)
      .where('id', '=', id)
      .forUpdate()
      .executeTakeFirst();
    if (!job) throw new AppError('not_found', `there is no job "${id}"`, { details: { job: id } });
    if (job.ended_at) return job.state;
    const now = new Date();
    if (job.state === 'queued') {
      const reason = `cancelled by ${actor} before it started`;
      await tx
        .updateTable('jobs')
        .set({ state: 'cancelled', phase: '', reason, cancel_requested_at: now, ended_at: now })
        .where('id', '=', id)
        .execute();
      await emit(tx, { project, kind: 'job.cancelled', subject: `job/${id}`, data: { job: id, reason } });
      return 'cancelled';
    }
    await tx.updateTable('jobs').set({ cancel_requested_at: now }).where('id', '=', id).execute();
    return job.state;
  });
}

/** Takes a queued job for a worker. Undefined when there is nothing to do: it runs elsewhere, or it ended. */
export async function claimJob(db: Db, id: string, owner: string) {
  return db.transaction().execute(async (tx) => {
    const job = await tx
      .updateTable('jobs')
      .set((eb) => ({
        state: 'running',
        phase: 'starting',
        owner,
        heartbeat_at: new Date(),
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
    .set({ heartbeat_at: new Date() })
    .returning('cancel_requested_at')
    .executeTakeFirst();
  return { mine: row !== undefined, cancelRequested: row?.cancel_requested_at != null };
}

export async function setPhase(db: Db, key: AttemptKey, phase: string): Promise<void> {
  await ownAttempt(db, key).set({ phase }).execute();
}

export async function appendLogs(
  db: Db,
  key: AttemptKey,
  lines: readonly { stream: LogStream; text: string; at: Date }[],
): Promise<void> {
  if (lines.length === 0) return;
  await db
    .insertInto('job_logs')
    .values(lines.map((line) => ({ job_id: key.id, attempt: key.attempt, ...line })))
    .execute();
  await sql`select pg_notify('sluice_logs', ${key.id})`.execute(db);
}

export async function appendMetrics(
  db: Db,
  key: AttemptKey,
  metrics: readonly { name: string; value: number; step: number | null; at: Date }[],
): Promise<void> {
  if (metrics.length === 0) return;
  await db
    .insertInto('job_metrics')
    .values(metrics.map((metric) => ({ job_id: key.id, attempt: key.attempt, ...metric })))
    .execute();
  await sql`select pg_notify('sluice_logs', ${key.id})`.execute(db);
}

export async function logsAfter(db: Db, jobId: string, after: number, limit = 1000) {
  return db
    .selectFrom('job_logs')
    .selectAll()
    .where('job_id', '=', jobId)
    .where('seq', '>', after)
    .orderBy('seq')
    .limit(limit)
    .execute();
}

export async function metricsAfter(db: Db, jobId: string, after: number, limit = 10_000) {
  return db
    .selectFrom('job_metrics')
    .selectAll()
    .where('job_id', '=', jobId)
    .where('seq', '>', after)
    .orderBy('seq')
    .limit(limit)
    .execute();
}

/** The last value of every metric that an attempt reported. */
export async function lastMetrics(db: Db, jobId: string, attempt: number): Promise<Record<string, number>> {
  const rows = await db
    .selectFrom('job_metrics')
    .distinctOn('name')
    .select(['name', 'value'])
    .where('job_id', '=', jobId)
    .where('attempt', '=', attempt)
    .orderBy('name')
    .orderBy('seq', 'desc')
    .execute();
  return Object.fromEntries(rows.map((row) => [row.name, row.value]));
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
      await openPromotions(tx, {
        project: job.project,
        model,
        version: result.version,
        jobId: job.id,
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
    if (!job || job.state !== 'running' || job.attempt !== key.attempt || job.owner !== key.owner) return 'not_mine';
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
export async function releaseJob(db: Db, key: AttemptKey, reason: string): Promise<void> {
  await ownAttempt(db, key)
    .set((eb) => ({
      state: 'queued',
      phase: 'queued',
      owner: null,
      reason,
      lost_attempts: eb('lost_attempts', '+', 1),
    }))
    .execute();
}

/**
 * Gives jobs back to the queue whose worker has not been heard of for `silentMs`. The lost attempt does not count
 * against the retries: the script did nothing wrong. `deadOwner` names workers that are known to be gone, by the beginning of their name. Answers what to enqueue: those, and
 * the oldest that wait.
 */
export async function recoverJobs(
  db: Db,
  silentMs: number,
  deadOwner?: string,
): Promise<{ id: string; attempt: number }[]> {
  return db.transaction().execute(async (tx) => {
    const lost = await tx
      .updateTable('jobs')
      .set((eb) => ({
        state: 'queued',
        phase: 'queued',
        owner: null,
        reason: sql<string>`'attempt ' || attempt || ' was lost with its worker'`,
        lost_attempts: eb('lost_attempts', '+', 1),
      }))
      .where('state', '=', 'running')
      .where((eb) =>
        eb.or([
          eb('heartbeat_at', '<', sql<Date>`now() - ${silentMs} * interval '1 millisecond'`),
          ...(deadOwner === undefined ? [] : [sql<boolean>`starts_with(owner, ${deadOwner})`]),
        ]),
      )
      .returning(['id', 'project', 'attempt'])
      .execute();
    for (const job of lost)
      await emit(tx, {
        project: job.project,
        kind: 'job.recovered',
        subject: `job/${job.id}`,
        data: { job: job.id, attempt: job.attempt },
      });
    return tx
      .selectFrom('jobs')
      .select(['id', 'attempt'])
      .where('state', '=', 'queued')
      .orderBy('created_at')
      .limit(500)
      .execute();
  });
}

function ownAttempt(db: Db, key: AttemptKey) {
  return db
    .updateTable('jobs')
    .where('id', '=', key.id)
    .where('state', '=', 'running')
    .where('attempt', '=', key.attempt)
    .where('owner', '=', key.owner);
}

/** Key order does not make another job. */
function canonical(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(canonical);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, inner]) => [key, canonical(inner)]),
  );
}
