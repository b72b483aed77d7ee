import type { Command } from 'commander';
import { type EndpointSummary, type JobSummary, listOf } from './api-types.js';
import { ApiError } from './client-errors.js';
import { endpointTable } from './endpoints.js';
import { CliError } from './exit.js';
import type { Io } from './io.js';
import { openSession, type Session } from './session.js';
import { jobTable } from './train/print.js';

interface Readiness {
  readonly ready?: boolean;
  readonly checks?: Readonly<Record<string, string>>;
}

/** `sluice status`. */
export function define(command: Command, io: Io): void {
  command
    .summary('show whether it runs, and what')
    .description(
      'Show whether the gateway is reachable and ready, the endpoints with their traffic, and the jobs that run. ' +
        'With --json: one object of the answers to readyz, whoami, endpoints and jobs.',
    )
    .action((_options: unknown, self: Command) => status(openSession(io, self)));
}

async function status(session: Session): Promise<void> {
  const { client, signal } = session;
  const ready = await readiness(session);
  const [whoami, endpoints, jobs] = await Promise.all([
    client.get<{ project: string; role: string; actor: string }>('/api/v1/whoami', { signal }),
    client.get<unknown>('/api/v1/endpoints', { signal }),
    client.get<unknown>('/api/v1/jobs', { query: { state: 'running' }, signal }),
  ]);
  if (session.json) {
    const parts = { readyz: ready.text, whoami: whoami.text, endpoints: endpoints.text, jobs: jobs.text };
    session.io.out(
      `{${Object.entries(parts)
        .map(([name, text]) => `"${name}":${text.trim()}`)
        .join(',')}}\n`,
    );
  } else {
    session.facts([
      ['gateway', `${client.url}, ${ready.ready ? 'ready' : 'not ready'}`],
      ...Object.entries(ready.checks).map(([name, state]) => [name, state] as const),
      ['you are', `${whoami.body.actor} (${whoami.body.role}) in project ${whoami.body.project}`],
    ]);
    session.print('');
    endpointTable(session, listOf<EndpointSummary>(endpoints.body, 'endpoints'));
    session.print('');
    jobTable(session, listOf<JobSummary>(jobs.body, 'jobs'), 'no jobs run');
  }
  if (!ready.ready) throw new CliError('the gateway is not ready', 1, 'its log says why');
}

/** The readiness checks; a gateway that is not ready answers them with 503. */
async function readiness(
  session: Session,
): Promise<{ ready: boolean; checks: Readonly<Record<string, string>>; text: string }> {
  try {
    const answer = await session.client.get<Readiness>('/readyz', { signal: session.signal });
    return { ready: answer.body.ready !== false, checks: answer.body.checks ?? {}, text: answer.text };
  } catch (error) {
    if (!(error instanceof ApiError) || error.status !== 503) throw error;
    const body = (error.body ?? {}) as Readiness;
    return { ready: false, checks: body.checks ?? {}, text: JSON.stringify(body) };
  }
}
