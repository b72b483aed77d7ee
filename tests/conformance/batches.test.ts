/** Batch predictions in a real Postgres, on real blobs, against a gateway that answers in this process. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer, text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/clock.js';
import { claimBatch, failLateBatches, recoverBatches } from '../../src/core/batch/ends.js';
import { forgetParts, missingParts, notePart, planBatch } from '../../src/core/batch/parts.js';
import { batchSpecSchema } from '../../src/core/batch/spec.js';
import { cancelBatch, getBatch, submitBatch } from '../../src/core/batch/store.js';
import { sweepBlobs } from '../../src/core/blob-references.js';
import type { Blobs } from '../../src/core/blobs.js';
import { addDataset, findBlob, recordBlob } from '../../src/core/datasets/store.js';
import { endpointSpecSchema } from '../../src/core/endpoints/endpoint.js';
import { createEndpoint, createRevision, setTraffic } from '../../src/core/endpoints/store.js';
import type { AskGateway } from '../../src/core/gateways/ask.js';
import type { Enqueue } from '../../src/core/jobs.js';
import { artifactOf } from '../../src/core/models/model.js';
import { registerVersion } from '../../src/core/models/store.js';
import type { Hold } from '../../src/core/ownership.js';
import type { Db } from '../../src/core/schema.js';
import { AppError } from '../../src/errors.js';
import { openBlobs } from '../../src/platform/blobs/open.js';
import { makeTensor } from '../../src/protocol/tensor.js';
import { HEADER_LENGTH, parseInferRequest } from '../../src/protocol/v2-json.js';
import { printInferResponse } from '../../src/protocol/v2-print.js';
import { createBatchRun } from '../../src/workers/batch-run.js';
import { Holdings } from '../../src/workers/holdings.js';
import { quietLog } from '../support/quiet-log.js';
import { seeded } from '../support/random.js';
import { migratedDatabase } from '../support/store-bench.js';

let db: Db;
let blobs: Blobs;
let folder: string;

beforeAll(async () => {
  db = await migratedDatabase();
  folder = await mkdtemp(join(tmpdir(), 'sluice-batches-'));
  blobs = await openBlobs(join(folder, 'blobs'), { cacheFolder: join(folder, 'cache') });
  await registerVersion(db, {
    project: 'default',
    model: 'linear',
    artifact: artifactOf([{ path: 'model.onnx', digest: `sha256:${'a'.repeat(64)}`, bytes: 3 }]),
    framework: 'onnx',
    signature: {
      inputs: [{ name: 'id', datatype: 'INT64', shape: [-1] }],
      outputs: [{ name: 'y', datatype: 'INT64', shape: [-1] }],
    },
    metrics: {},
    lineage: { kind: 'upload', actor: 'test' },
    source: 'test',
  });
  const id = await createEndpoint(db, 'default', endpointSpecSchema.parse({ name: 'linear', model: 'linear' }));
  await db.transaction().execute(async (tx) => {
    await createRevision(tx, { endpointId: id, version: 1, reason: 'test' });
    await setTraffic(tx, { endpointId: id, targets: [{ revision: 1, percent: 100 }], actor: 'test', reason: 'first' });
  });
});

afterAll(() => rm(folder, { recursive: true, force: true }));

async function upload(content: string) {
  const stored = await blobs.put(Readable.from([Buffer.from(content)]));
  await recordBlob(db, 'default', stored.digest, stored.bytes);
  return stored.digest;
}

const ids = (count: number) => `id\n${Array.from({ length: count }, (_, at) => `${at}\n`).join('')}`;
const answersTo = (count: number) => `y\n${Array.from({ length: count }, (_, at) => `${2 * at + 1}\n`).join('')}`;
const spec = (digest: string, more: object = {}) =>
  batchSpecSchema.parse({ endpoint: 'linear', input: { digest, format: 'csv' }, output: { format: 'csv' }, ...more });
const submit = async (content: string, more: object = {}) =>
  (await submitBatch(db, 'default', spec(await upload(content), more))).id;
const row = (id: string) => getBatch(db, 'default', id);

/** Answers 2 id + 1, as the model would. */
const linear: AskGateway = async ({ headers, body }) => {
  const request = parseInferRequest(await buffer(await body.open()), { headerLength: Number(headers[HEADER_LENGTH]) });
  const [id] = request.inputs;
  if (id?.datatype !== 'INT64') throw new Error('another request was expected');
  const y = makeTensor(
    'y',
    'INT64',
    id.shape,
    id.data.map((value) => 2n * value + 1n),
  );
  const wire = printInferResponse({ modelName: 'linear', modelVersion: '1', id: undefined, outputs: [y] }, () => true);
  return { status: 200, headers: { [HEADER_LENGTH]: String(wire.headerLength) }, body: Readable.from([wire.body]) };
};

const answer = (status: number, words: string, headers: Record<string, string> = {}) => ({
  status,
  headers,
  body: Readable.from([Buffer.from(JSON.stringify({ error: words }))]),
});

/** Lets a worker of this name have one go at it; `stop` ends the worker in the middle. */
async function work(id: string, ask: AskGateway, { owner = 'w1', stop = new AbortController() } = {}) {
  const enqueued: { id: string; delayMs: number }[] = [];
  const enqueue: Enqueue = async (_name, _data, options) =>
    void enqueued.push({ id: options.id, delayMs: options.delayMs ?? 0 });
  const holdings = new Holdings(db, 'batch_predictions', owner, quietLog);
  const deps = {
    db,
    blobs,
    ask,
    enqueue,
    holdings,
    clock: systemClock,
    log: quietLog,
    owner,
    maxRequestBytes: 100_000,
  };
  try {
    await createBatchRun(deps)({ batchId: id }, stop.signal);
  } finally {
    holdings.close();
  }
  return enqueued;
}

async function resultOf(id: string): Promise<string> {
  const { result_digest: digest } = await row(id);
  return text(await blobs.open(digest ?? expect.fail('there is no result')));
}

describe('submitBatch', () => {
  it('under one key is one; another one is a conflict', async () => {
    const digest = await upload('id\n1\n');
    const made = await Promise.all(Array.from({ length: 6 }, () => submitBatch(db, 'default', spec(digest), 'k')));
    expect(new Set(made.map((one) => one.id)).size).toBe(1);
    expect(made.filter((one) => one.created).length).toBe(1);
    const other = submitBatch(db, 'default', spec(digest, { concurrency: 3 }), 'k');
    await expect(other).rejects.toMatchObject({ code: 'conflict' });
  });

  it('takes the newest version of a dataset as it is then', async () => {
    const [first, second] = [await upload('id\n1\n'), await upload('id\n2\n')];
    await addDataset(db, 'default', 'ids', first, 5);
    const named = batchSpecSchema.parse({ ...spec(first), input: { dataset: 'ids', format: 'csv' } });
    const { id } = await submitBatch(db, 'default', named);
    await addDataset(db, 'default', 'ids', second, 5);
    expect((await row(id)).input_digest).toBe(first);
  });

  it.each([
    { why: 'no such endpoint', change: { endpoint: 'none' }, code: 'not_found' },
    { why: 'no such revision', change: { revision: 9 }, code: 'not_found' },
    {
      why: "bytes of another project's",
      change: { input: { digest: `sha256:${'f'.repeat(64)}`, format: 'csv' } },
      code: 'invalid',
    },
    { why: 'no such dataset', change: { input: { dataset: 'none', format: 'csv' } }, code: 'not_found' },
  ])('refuses $why', async ({ change, code }) => {
    await expect(submit('id\n1\n', change)).rejects.toMatchObject({ code });
  });
});

describe('a batch', () => {
  it('is answered row by row, and its result is the project’s own', async () => {
    const id = await submit(ids(25_000));
    expect(await work(id, linear)).toEqual([]);
    expect(await row(id)).toMatchObject({ state: 'succeeded', rows_total: 25_000, rows_done: 25_000, revision: 1 });
    expect(await resultOf(id)).toBe(answersTo(25_000));
    const { result_digest } = await row(id);
    expect(await findBlob(db, 'default', result_digest ?? '')).toBeDefined();
    // its parts are removed, and nothing else
    while ((await forgetParts(db)) > 0);
    while ((await sweepBlobs(db, blobs, 0)) > 0);
    expect(await resultOf(id)).toBe(answersTo(25_000));
    expect(await missingParts(db, id, 0, 10)).toEqual([]);
  });

  it('goes on wherever its workers stopped, and repeats no part that was noted', async () => {
    const random = seeded(3);
    const rows = 100_000;
    const id = await submit(ids(rows), { rowsPerRequest: 2000, concurrency: 3 });
    let asked = 0;
    let noted = 0;
    for (let go = 1; !(await row(id)).ended_at; go++) {
      const stop = new AbortController();
      let left = Math.floor(random() * 20);
      const dying: AskGateway = async (request) => {
        if (left-- === 0) stop.abort();
        if (random() < 0.1) return answer(503, 'later');
        const reply = await linear(request);
        asked++;
        return reply;
      };
      const owner = `w${go}`;
      if (random() < 0.5) await work(id, dying, { owner, stop });
      else {
        // one that is killed tells nobody: another one takes its work back
        const killed = work(id, dying, { owner, stop });
        await recoverBatches(db, owner);
        await killed;
      }
      const { rows_done } = await row(id);
      expect(rows_done).toBeGreaterThanOrEqual(noted);
      noted = rows_done;
      expect(go).toBeLessThan(200);
    }
    expect(await row(id)).toMatchObject({ state: 'succeeded', rows_done: rows, rows_total: rows });
    expect(await resultOf(id)).toBe(answersTo(rows));
    expect(asked).toBeGreaterThanOrEqual(rows / 2000);
  });

  it('that was given to another worker takes nothing from the first one', async () => {
    const id = await submit(ids(10));
    const first = (await claimBatch(db, id, 'w-first'))?.hold ?? expect.fail();
    const part = { row: 0, rows: 10, start: 3, stop: 23, line: 2 };
    const plan = { layout: { inputs: [], batch: undefined }, revision: 1 };
    await planBatch(db, first, plan, [part]);
    await recoverBatches(db, 'w-first');
    const second = (await claimBatch(db, id, 'w-second'))?.hold ?? expect.fail();
    const output = await blobs.put(Readable.from([Buffer.from('stale')]));
    const note = (hold: Hold) => notePart(db, hold, { part: { ...part, number: 0 }, output, bad: 0 });
    await expect(note(first)).rejects.toMatchObject({ code: 'conflict' });
    await expect(planBatch(db, first, plan, [part])).rejects.toMatchObject({ code: 'conflict' });
    expect((await row(id)).rows_done).toBe(0);
    while ((await sweepBlobs(db, blobs, 0)) > 0);
    expect(await blobs.stat(output.digest)).toBeUndefined();
    const again = await blobs.put(Readable.from([Buffer.from('stale')]));
    expect(again.digest).toBe(output.digest);
    await Promise.all([note(second), note(second)]);
    expect((await row(id)).rows_done).toBe(10);
  });

  it('waits for an endpoint that is away, and says so', async () => {
    const id = await submit(ids(5));
    let tries = 0;
    const phases: string[] = [];
    const ask: AskGateway = async (request) => {
      if (++tries === 3) phases.push((await row(id)).phase);
      if (tries < 4) return tries % 2 ? answer(429, 'full') : Promise.reject(new AppError('not_ready', 'no gateway'));
      return linear(request);
    };
    await work(id, ask);
    expect(phases).toEqual(['waiting: the endpoint answers 429']);
    expect(await row(id)).toMatchObject({ state: 'succeeded', reason: '' });
  });

  it.each([
    {
      why: 'the endpoint is gone',
      ask: async () => answer(404, 'there is no endpoint'),
      says: 'the endpoint answered 404: there is no endpoint',
    },
    {
      why: 'an output has not a value for each row',
      ask: (async (request) => {
        await (await request.body.open()).resume();
        const y = makeTensor('y', 'INT64', [1], BigInt64Array.of(1n));
        const wire = printInferResponse(
          { modelName: 'm', modelVersion: '1', id: undefined, outputs: [y] },
          () => false,
        );
        return { status: 200, headers: {}, body: Readable.from([wire.body]) };
      }) as AskGateway,
      says: 'output "y" has the shape [1] for 5 rows',
    },
  ])('fails when $why', async ({ ask, says }) => {
    const id = await submit(ids(5));
    await work(id, ask);
    expect(await row(id)).toMatchObject({ state: 'failed', reason: expect.stringContaining(says) });
  });

  it('fails at the first bad row of all, though a later one is found before', async () => {
    const rows = 40_000;
    const bad = new Set([15_000, 35_000]);
    const content = `id\n${Array.from({ length: rows }, (_, at) => `${bad.has(at) ? 'x' : at}\n`).join('')}`;
    const id = await submit(content);
    await work(id, linear);
    expect(await row(id)).toMatchObject({ state: 'failed', reason: expect.stringContaining('line 15002: input "id"') });
  });

  it('is cancelled while it waits, or while it runs', async () => {
    const waiting = await submit(ids(5));
    expect(await cancelBatch(db, 'default', waiting, 'ada')).toBe('cancelled');
    expect(await claimBatch(db, waiting, 'w1')).toBeUndefined();
    const id = await submit(ids(5));
    const ask: AskGateway = ({ signal }) => {
      void cancelBatch(db, 'default', id, 'ada');
      return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
    };
    await work(id, ask);
    expect(await row(id)).toMatchObject({ state: 'cancelled', reason: 'cancelled on request' });
    expect(await cancelBatch(db, 'default', id, 'ada')).toBe('cancelled');
    await expect(cancelBatch(db, 'elsewhere', id, 'eve')).rejects.toMatchObject({ code: 'not_found' });
  });

  it('ends with its time limit, whether it runs or waits', async () => {
    const hang: AskGateway = ({ signal }) =>
      new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
    const running = await submit(ids(5), { timeLimitSec: 1 });
    await work(running, hang);
    expect(await row(running)).toMatchObject({ state: 'failed', reason: 'not done within its time limit of 1 s' });
    const waiting = await submit(ids(5));
    await db.updateTable('batch_predictions').set({ deadline_at: new Date() }).where('id', '=', waiting).execute();
    await failLateBatches(db);
    expect(await row(waiting)).toMatchObject({ state: 'failed', reason: 'not done within its time limit' });
  });

  it('tries again what failed for reasons of our own', async () => {
    const id = await submit(ids(5));
    const broken: Blobs = { ...blobs, localPath: () => Promise.reject(new AppError('upstream_failed', 'S3 is away')) };
    const holdings = new Holdings(db, 'batch_predictions', 'w1', quietLog);
    const enqueued: number[] = [];
    const deps = {
      db,
      blobs: broken,
      ask: linear,
      holdings,
      clock: systemClock,
      log: quietLog,
      owner: 'w1',
      maxRequestBytes: 1e5,
    };
    const enqueue: Enqueue = async (_name, _data, { delayMs = 0 }) => void enqueued.push(delayMs);
    await createBatchRun({ ...deps, enqueue })({ batchId: id }, new AbortController().signal);
    holdings.close();
    expect(await row(id)).toMatchObject({ state: 'queued', reason: 'S3 is away' });
    expect(enqueued[0]).toBeGreaterThan(0);
  });
});
