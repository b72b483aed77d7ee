/** Live logs and events over real sockets. */
import { sql } from 'kysely';
import { beforeAll, describe, expect, test } from 'vitest';
import { eventually } from '../../tests/support/children.js';
import { serve } from '../../tests/support/test-server.js';
import { type TestGateway, testGateway } from '../../tests/support/test-services.js';
import { claimJob, finishSucceeded } from '../core/training/attempts.js';
import { appendLogs } from '../core/training/output-store.js';
import { submitJob } from '../core/training/store.js';

let gateway: TestGateway;
let url: string;
let origin: string;
let code: string;

beforeAll(async () => {
  gateway = await testGateway({ apiTimeoutMs: 300 });
  ({ api: url, origin } = await serve(gateway));
  const stored = await gateway.call('admin', 'POST', '/api/v1/blobs', 'code');
  code = ((await stored.json()) as { digest: string }).digest;
});

const auth = () => ({ authorization: `Bearer ${gateway.keys.admin}` });

interface ServerEvent {
  readonly id: string | undefined;
  readonly event: string | undefined;
  readonly data: Record<string, unknown>;
}

/** Reads an event stream as a client does. */
async function* events(
  path: string,
  headers: Record<string, string> = {},
  signal?: AbortSignal,
): AsyncGenerator<ServerEvent> {
  const response = await fetch(`${url}${path}`, {
    headers: { ...auth(), accept: 'text/event-stream', ...headers },
    ...(signal ? { signal } : {}),
  });
  expect(response.status).toBe(200);
  expect(response.headers.get('content-type')).toBe('text/event-stream');
  let text = '';
  for await (const chunk of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
    text += chunk;
    for (let end = text.indexOf('\n\n'); end !== -1; end = text.indexOf('\n\n')) {
      const fields = new Map(
        text
          .slice(0, end)
          .split('\n')
          .map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 2)]),
      );
      text = text.slice(end + 2);
      const data = fields.get('data');
      if (data !== undefined) yield { id: fields.get('id'), event: fields.get('event'), data: JSON.parse(data) };
    }
  }
}

async function runningJob() {
  const spec = {
    name: 'train',
    code,
    entrypoint: 't.py',
    args: [],
    requirements: [],
    params: {},
    env: {},
    retries: 0,
    timeLimitSec: 60,
    resources: { cpus: 1, memoryMb: 1, gpus: 0 },
    replicas: 1,
    distributed: { framework: 'none' as const, processesPerReplica: 1 },
  };
  const { id } = await submitJob(gateway.db, 'default', spec);
  await claimJob(gateway.db, id, 'w');
  const key = { id, attempt: 1, owner: 'w' };
  return {
    id,
    key,
    say: (...lines: string[]) =>
      appendLogs(
        gateway.db,
        key,
        lines.map((text) => ({ stream: 'stdout' as const, text, at: new Date() })),
      ),
  };
}

describe('live logs', () => {
  test('come as they are written, and end when the job does', async () => {
    const job = await runningJob();
    await job.say('before');
    const stream = events(`/jobs/${job.id}/logs`);
    expect((await stream.next()).value).toMatchObject({
      event: 'log',
      data: { text: 'before', attempt: 1, stream: 'stdout' },
    });
    for (const text of ['one', 'two']) {
      const began = performance.now();
      const [next] = await Promise.all([stream.next(), job.say(text)]);
      expect(next.value).toMatchObject({ event: 'log', data: { text } });
      expect(performance.now() - began).toBeLessThan(3000);
    }
    const ended = performance.now();
    const [end] = await Promise.all([
      stream.next(),
      finishSucceeded(gateway.db, job.key, { version: null, reason: 'done' }),
    ]);
    expect(end.value).toEqual({ id: undefined, event: 'end', data: { state: 'succeeded', reason: 'done' } });
    expect((await stream.next()).done).toBe(true);
    expect(performance.now() - ended).toBeLessThan(3000);
  });

  test('resume after Last-Event-ID without a gap or a repeat, across many pages', async () => {
    const job = await runningJob();
    const lines = Array.from({ length: 1300 }, (_, at) => `line ${at}`);
    await job.say(...lines);
    await finishSucceeded(gateway.db, job.key, { version: null, reason: 'done' });
    const seen: unknown[] = [];
    let last = '';
    for await (const event of events(`/jobs/${job.id}/logs?follow=true`)) {
      seen.push(event.data.text);
      last = event.id ?? '';
      if (seen.length === 700) break;
    }
    for await (const event of events(`/jobs/${job.id}/logs`, { 'last-event-id': last })) {
      if (event.event === 'log') seen.push(event.data.text);
    }
    expect(seen).toEqual(lines);
  });

  test('outlive the time limit of other calls', async () => {
    const job = await runningJob();
    const stream = events(`/jobs/${job.id}/logs`);
    const next = stream.next();
    await new Promise((resolve) => setTimeout(resolve, 600));
    await job.say('late');
    expect((await next).value).toMatchObject({ data: { text: 'late' } });
    await stream.return(undefined);
  });

  test('of no job: 404', async () => {
    const response = await fetch(`${url}/jobs/none/logs`, { headers: { ...auth(), accept: 'text/event-stream' } });
    expect(response.status).toBe(404);
  });

  test('let go of everything when the client leaves', async () => {
    const job = await runningJob();
    const leaving = new AbortController();
    const reading = events(`/jobs/${job.id}/logs`, {}, leaving.signal);
    await Promise.all([reading.next(), job.say('hello')]);
    const waiters = () => Reflect.get(gateway.services.notifications, 'waiting').get(`logs/${job.id}`)?.size ?? 0;
    await eventually(() => waiters() === 1);
    leaving.abort();
    await reading.next().catch(() => undefined);
    await eventually(() => waiters() === 0);
  });
});

describe('live events', () => {
  test('begin with what is new, and resume', async () => {
    const stream = events('/events');
    const next = stream.next();
    // the stream listens from its first bytes on; what came before is not its
    await new Promise((resolve) => setTimeout(resolve, 200));
    await gateway.call('admin', 'POST', '/api/v1/models', { name: 'mine' });
    const first = await runningJob();
    const { value } = await next;
    expect(value).toMatchObject({
      event: 'job.submitted',
      data: { kind: 'job.submitted', subject: `job/${first.id}` },
    });
    expect(value?.id).toBe(String(value?.data.seq));
    await stream.return(undefined);
    const second = await runningJob();
    const kinds: unknown[] = [];
    for await (const event of events('/events', { 'last-event-id': value?.id ?? '' })) {
      kinds.push(`${event.event} ${event.data.subject}`);
      if (kinds.length === 3) break;
    }
    expect(kinds).toEqual([
      `job.started job/${first.id}`,
      `job.submitted job/${second.id}`,
      `job.started job/${second.id}`,
    ]);
  });
});

test('live events of some kinds: resumed behind what was not wanted', async () => {
  const before = await runningJob();
  const { next } = (await (await fetch(`${url}/events`, { headers: auth() })).json()) as { next: number };
  await gateway.call('admin', 'POST', '/api/v1/models', { name: 'other' });
  const jobs = [await runningJob(), await runningJob()];
  const seen: unknown[] = [];
  for await (const event of events('/events?kinds=job.st*', { 'last-event-id': String(next) })) {
    seen.push(`${event.event} ${event.data.subject}`);
    if (seen.length === 2) break;
  }
  expect(seen).toEqual(jobs.map(({ id }) => `job.started job/${id}`));
  for await (const event of events(`/events?subject=job/${before.id}&after=0`)) {
    expect(event.event).toBe('job.submitted');
    break;
  }
});

test('a call that takes too long: 504', async () => {
  await gateway.db.transaction().execute(async (tx) => {
    await sql`lock table models in access exclusive mode`.execute(tx);
    const response = await fetch(`${url}/models`, { headers: auth() });
    expect([response.status, await response.json()]).toMatchObject([504, { error: { code: 'timeout' } }]);
  });
});

test('metrics: from this machine without a key, not through a proxy', async () => {
  const direct = await fetch(`${origin}/metrics`);
  expect([direct.status, await direct.text()]).toEqual([200, expect.stringContaining('sluice_')]);
  const proxied = { 'x-forwarded-for': '203.0.113.9' };
  expect((await fetch(`${origin}/metrics`, { headers: proxied })).status).toBe(401);
  expect(
    (await fetch(`${origin}/metrics`, { headers: { ...proxied, 'x-api-key': gateway.keys.predict } })).status,
  ).toBe(403);
  expect((await fetch(`${origin}/metrics`, { headers: { ...proxied, ...auth() } })).status).toBe(200);
});
