/** Jobs for people. */
import type { Job, JobSummary, LogLine } from '../api-types.js';
import { duration, number } from '../print/text.js';
import type { Session } from '../session.js';

/** Jobs as a table. */
export function jobTable(session: Session, jobs: readonly JobSummary[], empty: string): void {
  session.table(
    jobs,
    [
      { title: 'job', cell: (job) => job.id },
      { title: 'name', cell: (job) => job.name },
      { title: 'state', cell: (job) => job.state, state: true },
      { title: 'phase', cell: (job) => (job.phase && job.phase !== job.state ? job.phase : '-') },
      { title: 'attempt', cell: (job) => String(job.attempt), right: true },
      { title: 'model', cell: (job) => job.model ?? '-' },
      { title: 'version', cell: (job) => number(job.version), right: true },
      { title: 'submitted', cell: (job) => session.ago(job.createdAt) },
      { title: 'ran', cell: (job) => ranText(job, session.io.now()), right: true },
      { title: 'reason', cell: (job) => job.reason },
    ],
    empty,
  );
}

/** One job with its outcome. */
export function printJob(session: Session, job: Job): void {
  session.facts([
    ['job', job.id],
    ['name', job.name],
    ['state', job.state],
    ['phase', job.phase && job.phase !== job.state ? job.phase : undefined],
    ['attempt', String(job.attempt)],
    ['reason', job.reason],
    ['exit code', job.exitCode === null ? undefined : String(job.exitCode)],
    ['submitted', session.ago(job.createdAt)],
    ['ran', ranText(job, session.io.now())],
    ['model', job.model ? `${job.model}${job.version === null ? '' : ` version ${job.version}`}` : undefined],
  ]);
  const metrics = Object.entries(job.metrics);
  if (metrics.length > 0) {
    session.print('');
    session.table(
      metrics,
      [
        { title: 'metric', cell: ([name]) => name },
        { title: 'last value', cell: ([, value]) => number(value, 6), right: true },
      ],
      '',
    );
  }
  if (job.promotions.length > 0) {
    session.print('');
    session.table(
      job.promotions,
      [
        { title: 'promotion', cell: (promotion) => promotion.id },
        { title: 'endpoint', cell: (promotion) => promotion.endpoint },
        { title: 'state', cell: (promotion) => promotion.state, state: true },
      ],
      '',
    );
  }
}

/** A log line as it was written; what the platform adds is marked. */
export function logText(session: Session, line: LogLine): string {
  const text = line.text.endsWith('\n') ? line.text : `${line.text}\n`;
  return line.stream === 'system' ? session.style.dim(`# ${text.trimEnd()}`).concat('\n') : text;
}

function ranText(job: JobSummary, now: number): string {
  if (!job.startedAt) return '-';
  return duration((job.endedAt ? Date.parse(job.endedAt) : now) - Date.parse(job.startedAt));
}
