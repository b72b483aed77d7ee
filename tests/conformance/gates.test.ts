import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { recordBlob } from '../../src/core/datasets/store.js';
import type { LoadedModel } from '../../src/core/fleet.js';
import { gateSchema } from '../../src/core/promotions/gate.js';
import { type GateDeps, runGates } from '../../src/core/promotions/run-gates.js';
import type { Db } from '../../src/core/schema.js';
import { signedHeaders } from '../../src/core/webhooks/signature.js';
import { webhookSecret } from '../../src/core/webhooks/store.js';
import { createAskWebhook } from '../../src/platform/webhooks/post.js';
import { artifactNamed, functionModel, sandboxOf } from '../support/gate-bench.js';
import { memoryBlobs } from '../support/memory-blobs.js';
import { migratedDatabase } from '../support/store-bench.js';

const blobs = memoryBlobs();
let db: Db;
let deps: Omit<GateDeps, 'sandbox'>;

beforeAll(async () => {
  db = await migratedDatabase();
  const clock = { now: () => Date.now(), sleep: async () => {} };
  deps = { db, blobs, clock, askWebhook: createAskWebhook({ allowPrivate: true }) };
  const rows = 400;
  // the label is whether the first value is above a half; the second value is the group
  const values = Array.from({ length: rows }, (_, row) => [(row % 20) / 20, row % 4]);
  const document = {
    inputs: [{ name: 'x', datatype: 'FP32', shape: [rows, 2], data: values.flat() }],
    expected: { name: 'y', datatype: 'INT64', shape: [rows], data: values.map(([first = 0]) => (first > 0.5 ? 1 : 0)) },
    columns: { region: values.map(([, group]) => ['north', 'south', 'east', 'west'][group ?? 0]) },
  };
  const { digest, bytes } = await blobs.text(JSON.stringify(document));
  await recordBlob(db, 'default', digest, bytes);
  await db.insertInto('datasets').values({ project: 'default', name: 'held', version: 1, digest, bytes }).execute();
});

/** Right but for the rows of some groups. */
const model = (wrongIn: readonly number[] = [], memory: () => number | undefined = () => 2 ** 20 * 100) =>
  functionModel(([first = 0, group = 0]) => (first > 0.5 !== wrongIn.includes(group) ? 1 : 0), memory);

async function judged(gates: object[], candidate: LoadedModel, champion?: LoadedModel) {
  const sandbox = sandboxOf({ 'sha256:new': candidate, ...(champion ? { 'sha256:old': champion } : {}) });
  const { signal } = new AbortController();
  const { passed, results, reason } = await runGates(
    { ...deps, sandbox },
    {
      project: 'default',
      subject: { promotion: 'pr_1', endpoint: 'e', model: 'm', version: 2, round: 0 },
      gates: gates.map((gate) => gateSchema.parse(gate)),
      candidate: { model: { artifact: artifactNamed('new') }, metrics: {} },
      serving: champion && {
        model: { artifact: artifactNamed('old') },
        signature: champion.signature,
        version: 1,
      },
    },
    async () => {},
    signal,
  );
  return { passed, reason, evidence: results.at(-1)?.evidence };
}

describe('evaluation', () => {
  const gate = (more: object = {}) => ({ kind: 'evaluation', dataset: 'held', metric: 'accuracy', ...more });

  it('keeps slices to their own bounds, by columns and by inputs', async () => {
    const slices = [
      { name: 'north', column: 'region', where: { equals: 'north' }, maxRegression: 0.05 },
      { name: 'low', input: 'x', where: { max: 0.2 }, min: 0.5 },
      { name: 'west', input: 'x', at: 1, where: { min: 3 }, min: 0.9 },
    ];
    const good = await judged([gate({ slices, min: 0.7 })], model(), model());
    expect(good).toMatchObject({ passed: true, reason: 'every gate passed' });
    // a quarter is wrong: enough on the whole, not in the north
    const bad = await judged([gate({ slices, min: 0.7 })], model([0]), model());
    expect(bad).toMatchObject({ passed: false, reason: expect.stringContaining('slice "north"') });
    expect(bad.evidence).toMatchObject({
      candidate: 0.75,
      serving: 1,
      slices: [
        { name: 'north', passed: false, candidate: 0, serving: 1, rows: 100 },
        { name: 'low', passed: true },
        { name: 'west', passed: true },
      ],
    });
  });

  it.each([
    {
      slice: { name: 'a', column: 'country', where: { equals: 1 }, min: 0 },
      says: 'no column "country"; it has region',
    },
    { slice: { name: 'a', input: 'z', where: { equals: 1 }, min: 0 }, says: 'no input "z"' },
    { slice: { name: 'a', input: 'x', at: 2, where: { equals: 1 }, min: 0 }, says: '2 values in a row, none at 2' },
    { slice: { name: 'a', column: 'region', where: { equals: 'up' }, min: 0 }, says: 'has no rows among 400' },
  ])('says what is wrong with a slice: $says', async ({ slice, says }) => {
    const { passed, reason } = await judged([gate({ slices: [slice] })], model());
    expect({ passed, reason }).toEqual({ passed: false, reason: expect.stringContaining(says) });
  });

  it('shows with confidence that the candidate is not worse, or says how many rows it takes', async () => {
    const shown = await judged([gate({ confidence: 0.95, maxRegression: 0.02 })], model(), model());
    expect(shown).toMatchObject({ passed: true, evidence: { paired: { method: 'tango', onlyChampion: 0 } } });
    const few = await judged([gate({ confidence: 0.95, maxRegression: 0.002 })], model(), model());
    expect(few).toMatchObject({ passed: false, reason: expect.stringMatching(/too few rows: 400, needs about \d+/) });
  });
});

describe('latency and memory', () => {
  it('are measured beside the champion', async () => {
    const gates = [
      { kind: 'latency', dataset: 'held', maxRatio: 1000, requests: 100 },
      { kind: 'memory', maxMb: 150, maxRatio: 1.5 },
    ];
    const passed = await judged(gates, model(), model());
    expect(passed.passed, passed.reason).toBe(true);
    const larger = await judged(
      gates,
      model([], () => 2 ** 20 * 149),
      model([], () => 2 ** 20 * 90),
    );
    expect(larger).toMatchObject({ passed: false, reason: expect.stringContaining('1.656 times') });
    // it grows with the requests
    let held = 2 ** 20 * 90;
    const leaking = await judged(
      gates,
      model([], () => (held += 2 ** 20 * 20)),
      model(),
    );
    expect(leaking).toMatchObject({ passed: false, reason: expect.stringContaining('above the ceiling of 150 MiB') });
    const unseen = await judged(
      gates,
      model([], () => undefined),
      model(),
    );
    expect(unseen).toMatchObject({ passed: false, reason: expect.stringContaining('cannot be seen') });
  });

  it('take no answer that is an error', async () => {
    const broken = functionModel(() => {
      throw new Error('x');
    });
    const failing: LoadedModel = {
      ...broken,
      forward: (_call, handler) => {
        const body = Buffer.from(JSON.stringify({ error: 'no such thing' }));
        handler.onReply({ status: 400, headers: {}, more: false, worked: true }, body);
        return { cancel() {}, pause() {}, resume() {} };
      },
    };
    const outcome = await judged([{ kind: 'latency', maxMs: 1e6 }], failing);
    expect(outcome).toMatchObject({ passed: false, reason: 'latency gate: no such thing' });
  });
});

describe('webhook', () => {
  const asked: { headers: IncomingHttpHeaders; body: string }[] = [];
  let answers: (readonly [number, string])[] = [];
  const server = createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request) body += String(chunk);
    asked.push({ headers: request.headers, body });
    const [status, text] = answers.shift() ?? [200, '{"passed": true}'];
    response.writeHead(status).end(text);
  });
  let url: string;
  beforeAll(async () => {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/gate`;
  });
  afterAll(() => void server.close());

  it.each([
    {
      why: 'yes',
      replies: [[200, '{"passed": true, "reason": "fine"}']],
      passed: true,
      says: 'says yes: fine',
      tries: 1,
    },
    {
      why: 'no',
      replies: [[200, '{"passed": false, "reason": "unfair"}']],
      passed: false,
      says: 'says no: unfair',
      tries: 1,
    },
    {
      why: 'at the second try',
      replies: [
        [500, ''],
        [200, '{"passed": true}'],
      ],
      passed: true,
      says: 'says yes',
      tries: 2,
    },
    {
      why: 'nonsense',
      replies: [
        [200, 'yes'],
        [200, '{}'],
        [404, ''],
      ],
      passed: false,
      says: 'no verdict in 3 tries: it answered 404',
      tries: 3,
    },
  ])('is asked with the evidence, signed: $why', async ({ replies, passed, says, tries }) => {
    asked.length = 0;
    answers = replies.map(([status, text]) => [Number(status), String(text)] as const);
    const outcome = await judged([{ kind: 'signature' }, { kind: 'webhook', url, retries: 2 }], model());
    expect(outcome.passed).toBe(passed);
    const reason = passed ? String(outcome.evidence?.passed) : outcome.reason;
    expect(reason).toContain(passed ? 'true' : says);
    expect(outcome.evidence).toMatchObject({ url, tries });
    expect(asked.length).toBe(tries);
    const [{ headers, body } = { headers: {}, body: '' }] = asked;
    expect(JSON.parse(body)).toMatchObject({
      promotion: 'pr_1',
      version: 2,
      gates: [{ gate: 'load' }, { gate: 'signature' }],
    });
    const message = { id: String(headers['webhook-id']), timestampSec: Number(headers['webhook-timestamp']), body };
    const signed = signedHeaders(await webhookSecret(db, 'default'), message);
    expect(headers['webhook-signature']).toBe(signed['webhook-signature']);
    expect(new Set(asked.map((one) => one.headers['webhook-id'])).size).toBe(1);
  });

  it('never reaches what only this machine can reach', async () => {
    asked.length = 0;
    const closed = { ...deps, askWebhook: createAskWebhook({ allowPrivate: false }) };
    const before = deps;
    deps = closed;
    const outcome = await judged([{ kind: 'webhook', url }], model()).finally(() => {
      deps = before;
    });
    expect(outcome).toMatchObject({ passed: false, reason: expect.stringContaining('private address') });
    expect(asked.length).toBe(0);
  });
});
