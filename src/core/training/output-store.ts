/** What a job's script said: its lines and its metrics, in the order in which they came. */
import { sql } from 'kysely';
import type { Db } from '../schema.js';
import { type AttemptKey, runningAttempt } from './attempts.js';
import type { LogStream } from './runner.js';

/** Lines of an attempt that is no longer this worker's are dropped. */
export async function appendLogs(
  db: Db,
  key: AttemptKey,
  lines: readonly { stream: LogStream; text: string; at: Date }[],
): Promise<void> {
  if (lines.length === 0) return;
  const own = runningAttempt(key);
  await sql`
    insert into job_logs (job_id, attempt, stream, text, at)
    select ${key.id}, ${key.attempt}::integer, line.stream, line.text, line.at
    from (${own}) as own, unnest(
      ${lines.map((line) => line.stream)}::text[], ${lines.map((line) => line.text)}::text[],
      ${lines.map((line) => line.at)}::timestamptz[]
    ) with ordinality as line(stream, text, at, place) order by line.place`.execute(db);
  await sql`select pg_notify('sluice_logs', ${key.id})`.execute(db);
}

/** Metrics of an attempt that is no longer this worker's are dropped. */
export async function appendMetrics(
  db: Db,
  key: AttemptKey,
  metrics: readonly { name: string; value: number; step: number | null; at: Date }[],
): Promise<void> {
  if (metrics.length === 0) return;
  const own = runningAttempt(key);
  await sql`
    insert into job_metrics (job_id, attempt, name, value, step, at)
    select ${key.id}, ${key.attempt}::integer, metric.name, metric.value, metric.step, metric.at
    from (${own}) as own, unnest(
      ${metrics.map((metric) => metric.name)}::text[], ${metrics.map((metric) => metric.value)}::double precision[],
      ${metrics.map((metric) => metric.step)}::double precision[], ${metrics.map((metric) => metric.at)}::timestamptz[]
    ) with ordinality as metric(name, value, step, at, place) order by metric.place`.execute(db);
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
