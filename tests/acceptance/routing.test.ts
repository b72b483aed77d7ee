/** Which revision answers, asked through every door of a real gateway: rules, stickiness, tags and pins at the wire. */
import { readFile } from 'node:fs/promises';
import type { ClientHttp2Session } from 'node:http2';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createKey } from '../../src/core/access/store.js';
import { createLog } from '../../src/log.js';
import { openDatabase } from '../../src/platform/db/open.js';
import { writeModelInferRequest } from '../../src/protocol/grpc/infer-request.js';
import { type ChatServer, startChatServer } from '../support/chat-server.js';
import { eventually } from '../support/children.js';
import { type GatewayProcess, startGatewayProcess } from '../support/gateway-process.js';
import { call, prefixed, session } from '../support/grpc-client.js';
import { modelPath } from '../support/runtime.js';

let gateway: GatewayProcess;
let chat: ChatServer;
let client: ClientHttp2Session;

beforeAll(async () => {
  [gateway, chat] = await Promise.all([startGatewayProcess(), startChatServer()]);
  client = session(Number(new URL(gateway.url).port));
  const version = await gateway.upload('add', await readFile(modelPath('add.onnx')));
  for (const access of ['public', 'key'] as const) {
    const name = access === 'public' ? 'open' : 'shut';
    await gateway.serve(name, 'add', version, { access, scaling: { maxReplicas: 1 } });
    await threeRevisions(name, version);
  }
  const server = { url: chat.url, protocols: ['openai'], readyPath: '/health' };
  await gateway.client.post('/api/v1/models', { json: { name: 'chat' } });
  await gateway.client.post('/api/v1/models/chat/versions', { json: { files: [], server } });
  await gateway.serve('chat', 'chat', 1);
  await threeRevisions('chat', 1);
}, 120_000);

afterAll(async () => {
  await gateway?.stop();
  chat?.close();
});

/** Revision 1 has all traffic, 2 is a dark candidate, 3 has nothing at all. */
async function threeRevisions(endpoint: string, version: number): Promise<void> {
  const path = `/api/v1/endpoints/${endpoint}`;
  for (let at = 0; at < 2; at++) await gateway.client.post(`${path}/revisions`, { json: { version } });
  const targets = [
    { revision: 1, percent: 100, tag: 'stable' },
    { revision: 2, percent: 0, tag: 'candidate' },
  ];
  await gateway.client.put(`${path}/traffic`, { json: { targets } });
}

async function route(endpoint: string, routing: object): Promise<void> {
  const { access, model } = (
    await gateway.client.get<{ access: string; model: string }>(`/api/v1/endpoints/${endpoint}`)
  ).body;
  await gateway.client.put(`/api/v1/endpoints/${endpoint}`, {
    json: { model, access, scaling: { maxReplicas: 1 }, routing },
  });
}

type Headers = Readonly<Record<string, string>>;
const inputs = ['a', 'b'].map((name) => ({ name, datatype: 'FP32', shape: [1, 2], data: [1, 2] }));

/** A request through each door by its name; answers the status and the revision. */
const DOORS: Readonly<Record<string, (endpoint: string, headers: Headers) => Promise<[number | string, number]>>> = {
  v2: (endpoint, headers) => post(`/v2/models/${endpoint}/infer`, { inputs }, headers),
  v1: (endpoint, headers) => post(`/v1/models/${endpoint}:predict`, { inputs: { a: [[1, 2]], b: [[3, 4]] } }, headers),
  openai: (_, headers) => post('/v1/chat/completions', { model: 'chat', messages: [{ content: 'a' }] }, headers),
  async grpc(modelName, headers) {
    const one = (name: string) => ({ name, datatype: 'FP32' as const, shape: [1, 2], data: Float32Array.from([1, 2]) });
    const asked = { id: undefined, parameters: {}, inputs: [one('a'), one('b')], outputs: undefined };
    const message = Buffer.concat(writeModelInferRequest({ modelName, modelVersion: undefined }, asked, true));
    const answer = await call(client, '/inference.GRPCInferenceService/ModelInfer', prefixed(message), headers);
    return [answer.status ?? '', Number(answer.head['sluice-revision'])];
  },
};

async function post(path: string, json: object, headers: Headers): Promise<[number, number]> {
  const answer = await fetch(gateway.url + path, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(json),
  });
  await answer.arrayBuffer();
  return [answer.status, Number(answer.headers.get('sluice-revision'))];
}

function token(claims: object): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  return `${part({ alg: 'none' })}.${part(claims)}.c2ln`;
}

describe.each(Object.keys(DOORS))('through %s', (door) => {
  const endpoint = door === 'openai' ? 'chat' : 'shut';
  const ask = async (headers: Headers) => {
    const answer = await DOORS[door]?.(endpoint, { authorization: `Bearer ${gateway.key}`, ...headers });
    return answer?.[1];
  };

  it('pins and tags are obeyed, of dark revisions too', async () => {
    await route(endpoint, {});
    expect(await ask({})).toBe(1);
    expect(await ask({ 'sluice-revision': '3' })).toBe(3);
    expect(await ask({ 'sluice-tag': 'candidate' })).toBe(2);
    expect(await ask({ 'knative-serving-tag': 'candidate' })).toBe(2);
    expect(await ask({ 'sluice-tag': 'stable', 'knative-serving-tag': 'candidate' })).toBe(1);
    expect(await ask({ 'sluice-tag': 'nobody' })).not.toBeGreaterThan(0);
  });

  it('rules go before the weights and after pins', async () => {
    await route(endpoint, {
      rules: [
        { when: { headers: { 'X-Team': { exact: 'qa' } } }, to: { tag: 'candidate' } },
        { when: { cookies: { group: { regex: 'b\\d+' } } }, to: { revision: 3 } },
        { when: { claims: { plan: { exact: 'gold' } } }, to: { targets: [{ revision: 3, percent: 100 }] } },
        { when: { key: { exact: 'nobody' } }, to: { revision: 3 } },
      ],
    });
    expect(await ask({})).toBe(1);
    expect(await ask({ 'x-team': 'qa' })).toBe(2);
    expect(await ask({ 'x-team': 'qa', 'sluice-revision': '1' })).toBe(1);
    expect(await ask({ cookie: 'a=1; group=b22' })).toBe(3);
    const bearer = { authorization: `Bearer ${token({ plan: 'gold' })}`, 'x-api-key': gateway.key };
    expect(await ask(bearer)).toBe(3);
  });
});

describe('stickiness', () => {
  it('by API key: each key stays, and another one may go elsewhere', async () => {
    const { db, close } = openDatabase(gateway.databaseUrl, createLog({ level: 'error', format: 'text' }));
    const make = (_: unknown, at: number) => createKey(db, { project: 'default', name: `k${at}`, role: 'predict' });
    const keys = await Promise.all(Array.from({ length: 12 }, make));
    await close();
    const targets = [1, 2].map((revision) => ({ revision, percent: 50 }));
    await gateway.client.put('/api/v1/endpoints/shut/traffic', { json: { targets } });
    await route('shut', { sticky: { by: 'api_key' } });
    const last = keys.at(-1)?.key ?? '';
    await eventually(async () => (await DOORS.v2?.('shut', { 'x-api-key': last }))?.[0] === 200, 10_000);
    const seen = new Set<number>();
    for (const { key } of keys) {
      const answers = await Promise.all(
        [DOORS.v2, DOORS.v1, DOORS.grpc, DOORS.v2].map((door) => door?.('shut', { 'x-api-key': key })),
      );
      const revisions = new Set(answers.map((answer) => answer?.[1]));
      expect(revisions.size).toBe(1);
      for (const revision of revisions) if (revision !== undefined) seen.add(revision);
    }
    expect([...seen].sort()).toEqual([1, 2]);
  });
});

describe('a token of the client alone', () => {
  const bearer = { authorization: `Bearer ${token({ sub: 'u1' })}` };

  it('routes at a public endpoint', async () => {
    await route('open', { rules: [{ when: { claims: { sub: { exact: 'u1' } } }, to: { revision: 3 } }] });
    expect(await DOORS.v2?.('open', bearer)).toEqual([200, 3]);
    expect((await DOORS.grpc?.('open', bearer))?.[1]).toBe(3);
  });

  it('opens nothing that asks for a key', async () => {
    expect((await DOORS.v2?.('shut', bearer))?.[0]).toBe(401);
    expect((await DOORS.grpc?.('shut', bearer))?.[0]).toBe('16');
    expect((await DOORS.v2?.('open', { authorization: 'Bearer sk_unknown' }))?.[0]).toBe(401);
    expect((await DOORS.v2?.('shut', { ...bearer, 'x-api-key': 'sk_unknown' }))?.[0]).toBe(401);
    const answer = await fetch(`${gateway.url}/api/v1/endpoints`, { headers: bearer });
    expect(answer.status).toBe(401);
  });
});

describe('rules that cannot be followed', () => {
  const put = (rules: object[]) =>
    gateway.client.put('/api/v1/endpoints/open', { json: { model: 'add', access: 'public', routing: { rules } } });
  const when = { headers: { a: { exact: 'b' } } };

  it.each([
    [
      [
        { when, to: { revision: 3 } },
        { name: 'far', when, to: { revision: 9 } },
      ],
      /rule "far" leads to revision 9.*1 to 3/,
    ],
    [[{ when, to: { targets: [{ revision: 7, percent: 100 }] } }], /rule 1 leads to revision 7/],
    [[{ when: { headers: { a: { regex: '(a+)\\1' } } }, to: { revision: 1 } }], /not supported/],
    [[{ when: {}, to: { revision: 1 } }], /at least one condition/],
    [Array.from({ length: 33 }, () => ({ when, to: { revision: 1 } })), /32/],
  ])('are refused: %j', async (rules, words) => {
    await expect(put(rules)).rejects.toThrow(words);
  });
});
