/** Asynchronous predictions in a real Postgres: taken once, ended once, taken back, forgotten. */
import { Readable } from 'node:stream';
import { beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/clock.js';
import { addGarbage, storeBlob, sweepBlobs } from '../../src/core/blob-references.js';
import { recordBlob } from '../../src/core/datasets/store.js';
import type { AskGateway, GatewayReply } from '../../src/core/gateways/ask.js';
import type { Enqueue } from '../../src/core/jobs.js';
import { beat, overdue, putBack } from '../../src/core/ownership.js';
import {
  claimPrediction,
  endPrediction,
  failLate,
  recoverPredictions,
  statusOf,
} from '../../src/core/predictions/ends.js';
import {
  cancelPrediction,
  checkBacklog,
  forgetPredictions,
  getPrediction,
  type NewPrediction,
  submitPrediction,
} from '../../src/core/predictions/store.js';
import type { Db } from '../../src/core/schema.js';
import { AppError } from '../../src/errors.js';
import { Holdings } from '../../src/workers/holdings.js';
import { createPredictionRun } from '../../src/workers/prediction-run.js';
import { reconcile } from '../../src/workers/reconcile.js';
import { memoryBlobs } from '../support/memory-blobs.js';
import { quietLog } from '../support/quiet-log.js';
import { addEndpoint, migratedDatabase } from '../support/store-bench.js';

let db: Db;
let endpointId: string;
const blobs = memoryBlobs();

beforeAll(async () => {
  db = await migratedDatabase();
  endpointId = await addEndpoint(db, 'asked');
});

const request = { path: '/v2/models/asked/infer', headers: { 'content-type': 'application/json' }, idempotent: true };
let bodies = 0;

async function submit(more: Partial<NewPrediction> = {}, text = `body ${bodies++}`) {
  return submitPrediction(db, {
    project: 'default',
    endpointId,
    endpoint: 'asked',
    request,
    body: await blobs.text(text),
    requestKey: undefined,
    webhook: undefined,
    trace: undefined,
    deadlineMs: 60_000,
    ...more,
  });
}

const row = (id: string) => getPrediction(db, 'default', id);
const set = (id: string, columns: Record<string, unknown>) =>
  db.updateTable('predictions').set(columns).where('id', '=', id).execute();

async function claimed(owner = 'w1', more: Partial<NewPrediction> = {}) {
  const { id } = await submit(more);
  const taken = await claimPrediction(db, id, owner);
  return taken?.hold ?? expect.fail('it was not taken');
}

const answered = async (text = 'answer', status = 200) =>
  ({ kind: 'answered', status, headers: { 'content-type': 'text/plain' }, result: await blobs.text(text) }) as const;

describe('submitPrediction', () => {
  it('under one key is one, however often and at once; another body or request is a conflict', async () => {
    const made = await Promise.all(Array.from({ length: 10 }, () => submit({ requestKey: 'k' }, 'same')));
    expect(new Set(made.map((one) => one.id)).size).toBe(1);
    await expect(submit({ requestKey: 'k' }, 'other')).rejects.toMatchObject({ code: 'conflict' });
    const pinned = { ...request, headers: { 'sluice-revision': '2' } };
    await expect(submit({ requestKey: 'k', request: pinned }, 'same')).rejects.toMatchObject({ code: 'conflict' });
    // keys are an endpoint's own
    const elsewhere = await addEndpoint(db, 'elsewhere');
    expect((await submit({ requestKey: 'k', endpointId: elsewhere }, 'same')).id).not.toBe(made[0]?.id);
  });

  it('is refused when too many wait', async () => {
    await submit();
    await checkBacklog(db, 'default', 1000);
    await expect(checkBacklog(db, 'default', 1)).rejects.toMatchObject({ code: 'overloaded' });
    await checkBacklog(db, 'another', 1);
  });
});

describe('an attempt', () => {
  it('is claimed by one worker of many', async () => {
    const { id } = await submit();
    const claims = await Promise.all(Array.from({ length: 8 }, (_, at) => claimPrediction(db, id, `w${at}`)));
    expect(claims.filter(Boolean).length).toBe(1);
  });

  it('writes while it is its own, and nothing once it is lost', async () => {
    const lost = await claimed('w-lost');
    expect(await beat(db, 'predictions', 'w-lost', [lost.id])).toMatchObject([{ id: lost.id, attempt: 1 }]);
    await recoverPredictions(db, 'w-lost');
    const next = await claimPrediction(db, lost.id, 'w2');
    expect(next?.hold.attempt).toBe(2);
    for (const stale of [lost, { ...lost, attempt: 2 }, { ...lost, owner: 'w2' }]) {
      expect(await endPrediction(db, stale, await answered('late'))).toBeUndefined();
      expect(await putBack(db, 'predictions', stale, { inMs: 0, reason: 'late' })).toBe(false);
      expect(await beat(db, 'predictions', stale.owner, ['none'])).toEqual([]);
    }
    expect(await row(lost.id)).toMatchObject({ state: 'running', owner: 'w2', result_digest: null });
    if (next) await endPrediction(db, next.hold, await answered());
    expect(await row(lost.id)).toMatchObject({
      state: 'succeeded',
      status: 200,
      headers: { 'content-type': 'text/plain' },
    });
  });

  it('ends once, and tells its webhook in the same step', async () => {
    const hold = await claimed('w1', { webhook: 'https://example.com/hook' });
    const ends = await Promise.all([1, 2, 3].map(async () => endPrediction(db, hold, await answered('x', 422))));
    const deliveries = ends.flatMap((end) => end ?? []);
    expect(deliveries.length).toBe(1);
    const { body, url } = await db
      .selectFrom('webhook_deliveries')
      .selectAll()
      .where('id', '=', deliveries[0] ?? '')
      .executeTakeFirstOrThrow();
    expect([url, JSON.parse(body)]).toEqual([
      'https://example.com/hook',
      { id: hold.id, endpoint: 'asked', state: 'failed', status: 422, location: `/v2/predictions/${hold.id}` },
    ]);
  });

  it('that is put back is not due before its time, and then is', async () => {
    const hold = await claimed();
    await putBack(db, 'predictions', hold, { inMs: 60_000, reason: 'answered 503' });
    expect(await claimPrediction(db, hold.id, 'w2')).toBeUndefined();
    await set(hold.id, { due_at: new Date() });
    expect((await claimPrediction(db, hold.id, 'w2'))?.row.reason).toBe('answered 503');
  });
});

describe('recoverPredictions', () => {
  it('takes back what is silent, leaves what lives, and does not run again what must not', async () => {
    const silent = await claimed('w-silent');
    const alive = await claimed('w-alive');
    const once = await claimed('w-once', {
      request: { ...request, idempotent: false },
      webhook: 'https://example.com/',
    });
    const cancelled = await claimed('w-cancelled');
    await cancelPrediction(db, 'default', cancelled.id);
    for (const { id } of [silent, once, cancelled]) await set(id, { heartbeat_at: new Date(Date.now() - 20_000) });
    const runs = await Promise.all([1, 2, 3].map(() => recoverPredictions(db)));
    expect(runs.flat().length).toBe(1);
    expect(await row(silent.id)).toMatchObject({ state: 'queued', owner: null, lost_in_a_row: 1 });
    expect((await row(alive.id)).state).toBe('running');
    const ended = await row(once.id);
    expect(ended).toMatchObject({ state: 'failed', reason: 'attempt 1 was lost with its worker', status: null });
    expect(statusOf(ended)).toBe(502);
    expect(await row(cancelled.id)).toMatchObject({ state: 'cancelled' });
  });

  it('gives up what is lost with every worker that takes it', async () => {
    const { id } = await submit();
    for (let lost = 0; lost < 10; lost++) {
      expect((await claimPrediction(db, id, 'w-poor'))?.hold.attempt).toBe(lost + 1);
      await recoverPredictions(db, 'w-poor');
    }
    expect((await row(id)).state).toBe('failed');
  });
});

describe('cancelPrediction', () => {
  it('ends one that waits, tells one that runs, and leaves one that ended', async () => {
    const { id } = await submit({ webhook: 'https://example.com/' });
    const { state, deliveries } = await cancelPrediction(db, 'default', id);
    expect([state, deliveries.length]).toEqual(['cancelled', 1]);
    expect(statusOf(await row(id))).toBe(499);
    const hold = await claimed();
    expect((await cancelPrediction(db, 'default', hold.id)).state).toBe('running');
    expect(await beat(db, 'predictions', 'w1', [hold.id])).toMatchObject([{ cancelRequested: true }]);
    await endPrediction(db, hold, await answered());
    expect((await cancelPrediction(db, 'default', hold.id)).state).toBe('succeeded');
    await expect(cancelPrediction(db, 'elsewhere', hold.id)).rejects.toMatchObject({ code: 'not_found' });
  });

  it('races a claim to one of two ends', async () => {
    for (let round = 0; round < 10; round++) {
      const { id } = await submit();
      const [taken, { state }] = await Promise.all([
        claimPrediction(db, id, 'w1'),
        cancelPrediction(db, 'default', id),
      ]);
      expect(state).toBe(taken ? 'running' : 'cancelled');
    }
  });
});

describe('the passes', () => {
  it('enqueue what was written and never enqueued, once in a while', async () => {
    const { id } = await submit();
    const enqueued: string[] = [];
    const enqueue: Enqueue = async (_name, _data, options) => void enqueued.push(options.id);
    await reconcile({ db, enqueue, clock: systemClock });
    expect(enqueued).not.toContain(`${id}-0`);
    await set(id, { look_at: new Date() });
    await Promise.all([1, 2].map(() => reconcile({ db, enqueue, clock: systemClock })));
    await reconcile({ db, enqueue, clock: systemClock });
    expect(enqueued.filter((one) => one === `${id}-0`)).toEqual([`${id}-0`]);
    expect(await overdue(db, 'predictions')).toEqual([]);
  });

  it('fail what nobody ran before its deadline', async () => {
    const { id } = await submit({ deadlineMs: -1 });
    await failLate(db);
    expect(await row(id)).toMatchObject({ state: 'failed', error_code: 'timeout' });
    expect(statusOf(await row(id))).toBe(504);
  });

  it('forget what ended long ago, and its blobs unless something else refers to them', async () => {
    const shared = await blobs.text('shared');
    const owned = await blobs.text('owned');
    await recordBlob(db, 'default', owned.digest, owned.bytes);
    const ended: string[] = [];
    for (const text of ['only its own', 'shared', 'owned']) {
      const { id } = await submit({}, text);
      const hold = (await claimPrediction(db, id, 'w1'))?.hold ?? expect.fail();
      await endPrediction(db, hold, await answered(`answer to ${text}`));
      await set(id, { ended_at: new Date(Date.now() - 100_000) });
      ended.push(id);
    }
    const kept = await submit({}, 'shared');
    expect(await forgetPredictions(db, 50_000)).toBe(3);
    for (const id of ended) await expect(row(id)).rejects.toMatchObject({ code: 'not_found' });
    while ((await sweepBlobs(db, blobs, 0)) > 0);
    const left = [...blobs.stored.values()].map(String);
    expect(left).not.toContain('only its own');
    expect(left.filter((text) => text.startsWith('answer to'))).toEqual([]);
    expect(left).toContain('shared');
    expect(left).toContain('owned');
    await cancelPrediction(db, 'default', kept.id);
    expect(shared.bytes).toBe(6);
  });

  it('never remove a blob that is stored at that moment', async () => {
    for (let round = 0; round < 30; round++) {
      const text = `contended ${round}`;
      const { digest } = await blobs.text(text);
      await addGarbage(db, [digest]);
      await db
        .updateTable('blob_garbage')
        .set({ since: new Date(0) })
        .execute();
      const source = Readable.from([Buffer.from(text)]);
      await Promise.all([storeBlob(db, blobs, source), sweepBlobs(db, blobs)]);
      expect(blobs.stored.has(digest)).toBe(true);
      // and whoever refers to it has time to do so
      await sweepBlobs(db, blobs);
      expect(blobs.stored.has(digest)).toBe(true);
    }
  });
});

describe('prediction.run', () => {
  const reply = (status: number, text = '', headers: Record<string, string> = {}): GatewayReply => ({
    status,
    headers: { 'content-type': 'text/plain', 'x-other': 'y', ...headers },
    body: Readable.from([Buffer.from(text)]),
  });

  /** Runs one attempt against this gateway; answers the row, and what was enqueued with which delay. */
  async function run(ask: AskGateway, more: Partial<NewPrediction> = {}, shutdown = new AbortController()) {
    const { id } = await submit(more);
    const enqueued: { name: string; delayMs: number }[] = [];
    const enqueue: Enqueue = async (name, _data, { delayMs = 0 }) => void enqueued.push({ name, delayMs });
    const holdings = new Holdings(db, 'predictions', 'w-run', quietLog);
    try {
      const handler = createPredictionRun({
        db,
        blobs,
        ask,
        enqueue,
        holdings,
        clock: systemClock,
        log: quietLog,
        owner: 'w-run',
      });
      await handler({ predictionId: id }, shutdown.signal);
    } finally {
      holdings.close();
    }
    return { row: await row(id), enqueued };
  }

  it('keeps an answer of any status of its own, with its content headers', async () => {
    const seen: unknown[] = [];
    const { row: done } = await run(async ({ path, headers, body }) => {
      const chunks: Uint8Array[] = [];
      for await (const chunk of await body.open()) chunks.push(chunk as Uint8Array);
      seen.push(path, headers['content-type'], Buffer.concat(chunks).toString());
      return reply(400, 'no', { 'sluice-revision': '3' });
    });
    expect(seen).toEqual(['/v2/models/asked/infer', 'application/json', expect.stringMatching(/^body /)]);
    expect(done).toMatchObject({
      state: 'failed',
      status: 400,
      headers: { 'content-type': 'text/plain', 'sluice-revision': '3' },
    });
    expect(done.headers).not.toHaveProperty('x-other');
    expect(String(blobs.stored.get(done.result_digest ?? ''))).toBe('no');
  });

  it.each([429, 502, 503, 504])('is tried again after %i, as late as the gateway asks', async (status) => {
    const { row: waits, enqueued } = await run(async () => reply(status, '', { 'retry-after': '7' }));
    expect(waits).toMatchObject({ state: 'queued', reason: `answered ${status}`, attempt: 1 });
    expect(enqueued).toEqual([{ name: 'prediction.run', delayMs: 7000 }]);
  });

  it.each([
    {
      why: 'a lost connection',
      ask: () => Promise.reject(new AppError('upstream_failed', 'it broke')),
      idempotent: true,
      state: 'queued',
    },
    {
      why: 'no gateway',
      ask: () => Promise.reject(new AppError('not_ready', 'none')),
      idempotent: false,
      state: 'queued',
    },
    { why: 'too many, before it ran', ask: async () => reply(429), idempotent: false, state: 'queued' },
    {
      why: 'a lost connection',
      ask: () => Promise.reject(new AppError('upstream_failed', 'it broke')),
      idempotent: false,
      state: 'failed',
    },
    {
      why: 'an answer that breaks off',
      ask: async () => ({
        ...reply(200),
        body: new Readable({
          read() {
            this.destroy(new Error('reset'));
          },
        }),
      }),
      idempotent: false,
      state: 'failed',
    },
    { why: 'a replica that died with it', ask: async () => reply(502), idempotent: false, state: 'failed' },
  ])('after $why is $state where it may run again: $idempotent', async ({ ask, idempotent, state }) => {
    const { row: done } = await run(ask, { request: { ...request, idempotent } });
    expect(done.state).toBe(state);
  });

  it('goes back at once when its worker stops, and ends when its deadline comes', async () => {
    const stop = new AbortController();
    const hang: AskGateway = ({ signal }) =>
      new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
    setImmediate(() => stop.abort());
    const stopped = await run(hang, {}, stop);
    expect([stopped.row.state, stopped.enqueued]).toEqual(['queued', [{ name: 'prediction.run', delayMs: 0 }]]);
    const late = await run(hang, { deadlineMs: 50 });
    expect(late.row).toMatchObject({ state: 'failed', error_code: 'timeout', reason: 'no answer before its deadline' });
  });
});
