/** Training jobs in Postgres: what is asked for, and what became of it. */
import { AppError } from '../../errors.js';
import { findBlob } from '../datasets/store.js';
import { emit } from '../events/store.js';
import { newId } from '../id.js';
import type { Db } from '../schema.js';
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

/** Those of these jobs that have come to their end. */
export async function endedAmong(db: Db, ids: readonly string[]): Promise<string[]> {
  if (ids.length === 0) return [];
  const rows = await db
    .selectFrom('jobs')
    .select('id')
    .where('id', 'in', ids)
    .where('ended_at', 'is not', null)
    .execute();
  return rows.map((row) => row.id);
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
