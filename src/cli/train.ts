import { type Command, Option } from 'commander';
import { type Job, type JobSummary, type LogLine, listOf } from './api-types.js';
import type { Io } from './io.js';
import { openSession, type Session } from './session.js';
import { waitAndReport } from './train/follow.js';
import { jobTable, logText, printJob } from './train/print.js';
import { defineSubmit } from './train/submit.js';
import { integer } from './values.js';
import { followLogs } from './wait.js';

const STATES = ['queued', 'running', 'succeeded', 'failed', 'cancelled'];
/** Log lines asked for at once. */
const PAGE = 5000;

/** `sluice train`. */
export function define(command: Command, io: Io): void {
  defineSubmit(command, io);
  command
    .command('list')
    .description('list jobs, newest first')
    .addOption(new Option('--state <state>', 'only these').choices(STATES))
    .option('--limit <n>', 'at most so many', integer(1, 1000), 20)
    .action((options: { state?: string; limit: number }, self: Command) => list(openSession(io, self), options));
  command
    .command('show')
    .description('show a job: state, metrics, model version, promotions')
    .argument('<job>')
    .action((id: string, _options: unknown, self: Command) => show(openSession(io, self), id));
  command
    .command('logs')
    .description("print a job's log")
    .argument('<job>')
    .option('-f, --follow', 'stay until the job ends; with --json, one line of JSON per log line')
    .action((id: string, options: { follow?: boolean }, self: Command) =>
      logs(openSession(io, self), id, options.follow === true),
    );
  command
    .command('wait')
    .description('wait until a job ends; the exit code says whether it succeeded')
    .argument('<job>')
    .option('--promoted', 'wait for its promotions too')
    .action((id: string, options: { promoted?: boolean }, self: Command) =>
      waitAndReport(openSession(io, self), id, options.promoted === true),
    );
  command
    .command('cancel')
    .description('stop a job: SIGTERM to its script, SIGKILL after the grace')
    .argument('<job>')
    .action((id: string, _options: unknown, self: Command) => cancel(openSession(io, self), id));
}

async function list(session: Session, options: { state?: string; limit: number }): Promise<void> {
  const answer = await session.client.get<unknown>('/api/v1/jobs', {
    query: { state: options.state, limit: options.limit },
    signal: session.signal,
  });
  if (session.printedJson(answer)) return;
  jobTable(session, listOf<JobSummary>(answer.body, 'jobs'), 'no jobs yet; submit one with `sluice train submit`');
}

async function show(session: Session, id: string): Promise<void> {
  const answer = await session.client.get<Job>(jobPath(id), { signal: session.signal });
  if (!session.printedJson(answer)) printJob(session, answer.body);
}

async function logs(session: Session, id: string, follow: boolean): Promise<void> {
  if (follow) {
    return followLogs(session, id, (line, json) => session.io.out(session.json ? `${json}\n` : logText(session, line)));
  }
  let after = 0;
  for (;;) {
    const answer = await session.client.get<{ lines: readonly LogLine[]; next: number | null }>(`${jobPath(id)}/logs`, {
      query: { after, limit: PAGE },
      signal: session.signal,
    });
    session.printedJson(answer);
    const { lines, next } = answer.body;
    if (!session.json) for (const line of lines) session.io.out(logText(session, line));
    if (lines.length < PAGE || next === null || next === after) return;
    after = next;
  }
}

async function cancel(session: Session, id: string): Promise<void> {
  const answer = await session.client.post<{ state: string }>(`${jobPath(id)}/cancel`, { signal: session.signal });
  if (session.printedJson(answer)) return;
  const { state } = answer.body;
  session.printEssential(id, state === 'running' ? `${id} was asked to stop` : `${id} is ${state}`);
}

function jobPath(id: string): string {
  return `/api/v1/jobs/${encodeURIComponent(id)}`;
}
