/** What a real gateway counts of a model's outputs, over every protocol, for the endpoints that ask for it. */
import { readFile } from 'node:fs/promises';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readObservations } from '../../src/core/inference/observations.js';
import { bucketOfFraction } from '../../src/core/inference/outputs/bucket.js';
import { type Database, openDatabase } from '../../src/platform/db/open.js';
import { writeModelInferRequest } from '../../src/protocol/grpc/infer-request.js';
import { tensorFromBytes } from '../../src/protocol/tensor.js';
import { type GatewayProcess, startGatewayProcess } from '../support/gateway-process.js';
import { call, prefixed, session } from '../support/grpc-client.js';
import { quietLog } from '../support/quiet-log.js';
import { modelPath } from '../support/runtime.js';

let gateway: GatewayProcess;
let database: Database;

beforeAll(async () => {
  gateway = await startGatewayProcess({ env: { SLUICE_LOG_LEVEL: 'silent' } });
  database = openDatabase(gateway.databaseUrl, quietLog);
  const version = await gateway.upload('add', await readFile(modelPath('add.onnx')));
  await gateway.serve('counted', 'add', version, { routing: { outputs: ['sum'] } });
  await gateway.serve('plain', 'add', version, {});
});

afterAll(async () => {
  await database?.close();
  await gateway?.stop();
});

const tensors = (value: number) =>
  ['a', 'b'].map((name) => ({ name, datatype: 'FP32', shape: [1, 2], data: [value, value] }));

async function post(path: string, body: object): Promise<unknown> {
  const answer = await fetch(gateway.url + path, {
    method: 'POST',
    headers: { authorization: `Bearer ${gateway.key}` },
    body: JSON.stringify(body),
  });
  expect(answer.status).toBe(200);
  return answer.json();
}

describe('outputs', () => {
  it('are counted by kind, whichever way they were asked for, and only where somebody asks', async () => {
    const answered = (await post('/v2/models/counted/infer', { inputs: tensors(1.5) })) as {
      outputs: { name: string }[];
    };
    expect(answered.outputs.map(({ name }) => name)).toEqual(['sum']);
    await post('/v1/models/counted:predict', { instances: [{ a: [1.5, 1.5], b: [1.5, 1.5] }] });
    const floats = Buffer.from(Float32Array.of(1.5, 1.5).buffer);
    const message = writeModelInferRequest(
      { modelName: 'counted', modelVersion: undefined },
      {
        id: undefined,
        parameters: {},
        inputs: ['a', 'b'].map((name) => tensorFromBytes(name, 'FP32', [1, 2], floats)),
        outputs: undefined,
      },
    );
    await call(
      session(Number(new URL(gateway.url).port)),
      '/inference.GRPCInferenceService/ModelInfer',
      prefixed(Buffer.concat(message)),
      { authorization: `Bearer ${gateway.key}` },
    );
    await post('/v2/models/plain/infer', { inputs: tensors(1.5) });
    const ids = await sql<{ id: string; name: string }>`select id, name from endpoints`.execute(database.db);
    const idOf = (name: string) => ids.rows.find((row) => row.name === name)?.id ?? '';
    const seen = async (name: string) =>
      (await readObservations(database.db, idOf(name), 1, new Date(0))).get('output.sum');
    await expect.poll(async () => (await seen('counted'))?.count, { timeout: 10_000 }).toBe(3);
    expect((await seen('counted'))?.buckets[bucketOfFraction(3)]).toBe(3);
    expect(await seen('plain')).toBeUndefined();
  });
});
