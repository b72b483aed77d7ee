/** InferenceServices as a person of KServe applies them, and as a client of KServe calls them, through a real gateway. */
import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Endpoint, TrafficTarget } from '../../src/cli/api-types.js';
import { cli, type Ran } from '../support/cli.js';
import { type GatewayProcess, startGatewayProcess } from '../support/gateway-process.js';
import { pythonWith, TEST_CACHE } from '../support/python-environment.js';

const ADD = fileURLToPath(new URL('../fixtures/models/add.onnx', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'sluice-kserve-'));

let gateway: GatewayProcess;
let files: Server;
let storage: string;

beforeAll(async () => {
  // another version is the same sum with a note beside it, as an archive
  mkdirSync(join(folder, 'second'));
  copyFileSync(ADD, join(folder, 'second', 'model.onnx'));
  writeFileSync(join(folder, 'second', 'NOTES'), 'the second');
  copyFileSync(ADD, join(folder, 'add.onnx'));
  execFileSync('tar', ['-czf', join(folder, 'second.tar.gz'), '-C', join(folder, 'second'), '.']);
  files = createServer((request, response) => {
    const file = join(folder, new URL(request.url ?? '', 'http://x').pathname);
    if (existsSync(file)) response.end(readFileSync(file));
    else response.writeHead(404).end();
  });
  await new Promise<void>((ready) => files.listen(0, '127.0.0.1', ready));
  storage = `http://127.0.0.1:${(files.address() as AddressInfo).port}`;
  gateway = await startGatewayProcess({ env: { SLUICE_CACHE_DIR: TEST_CACHE } });
}, 120_000);
afterAll(async () => {
  files?.close();
  await gateway?.stop();
  rmSync(folder, { recursive: true });
});

const apply = (document: string, ...options: string[]): Promise<Ran> =>
  cli(['apply', '-f', '-', ...options], {
    stdin: document,
    env: { SLUICE_URL: gateway.url, SLUICE_KEY: gateway.key },
  });

const sums = (model: string, more = '') => `apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata:
  name: sums
spec:
  predictor:
    ${more}
    containerConcurrency: 8
    model:
      modelFormat: { name: onnx }
      storageUri: ${storage}/${model}
`;

const endpoint = async () => (await gateway.client.get<Endpoint>('/api/v1/endpoints/sums')).body;
const traffic = async (): Promise<readonly TrafficTarget[]> => (await endpoint()).traffic;

/** Asks as the protocol has it; the revision that answered. */
async function predict(): Promise<number> {
  const inputs = ['a', 'b'].map((name) => ({ name, datatype: 'FP32', shape: [1, 2], data: [1, 2] }));
  const answer = await gateway.client.post('/v2/models/sums/infer', { json: { inputs } });
  expect(answer.body).toMatchObject({ model_name: 'sums', outputs: [{ name: 'sum', data: [2, 4] }] });
  return Number(answer.headers.get('sluice-revision'));
}

describe('an InferenceService of an ONNX model', () => {
  it('is shown by a dry run, and nothing is made', async () => {
    const shown = await apply(sums('add.onnx'), '--dry-run');
    expect(shown).toMatchObject({ code: 0, err: '' });
    expect(shown.out).toContain('InferenceService/sums would become:\n  source:\n    storageUri: http://');
    expect(await gateway.client.exists('/api/v1/endpoints/sums')).toBe(false);
  });

  it('is created and answers, in V1 and V2', async () => {
    const made = await apply(sums('add.onnx'));
    expect(made).toMatchObject({
      code: 0,
      err: '',
      out: 'InferenceService/sums created: version 1 is revision 1; traffic 1=100 %\n',
    });
    expect(await predict()).toBe(1);
    const json = { instances: [{ a: [1, 2], b: [3, 4] }] };
    expect((await gateway.client.post('/v1/models/sums:predict', { json })).body).toEqual({ predictions: [[4, 6]] });
    expect((await gateway.client.get('/v1/models/sums')).body).toMatchObject({ name: 'sums', ready: true });
    expect((await endpoint()).scaling).toMatchObject({ minReplicas: 1, concurrency: 8 });
  });

  it('that is the same again, even from another place, changes nothing', async () => {
    const again = 'InferenceService/sums unchanged: version 1 is revision 1; traffic 1=100 %\n';
    expect((await apply(sums('add.onnx'))).out).toBe(again);
    copyFileSync(ADD, join(folder, 'moved.onnx'));
    expect((await apply(sums('moved.onnx'))).out).toBe(again);
    expect((await endpoint()).generation).toBe(1);
  });

  it('with another storageUri and a canary sends a fifth to the new revision', async () => {
    const canary = await apply(sums('second.tar.gz', 'canaryTrafficPercent: 20'));
    expect(canary.out).toBe('InferenceService/sums updated: version 2 is revision 2; traffic 1=80 % (prev), 2=20 %\n');
    expect((await endpoint()).revisions[0]).toMatchObject({
      number: 2,
      reason: `InferenceService applied: ${storage}/second.tar.gz, canary of 20 %`,
    });
    let second = 0;
    for (let at = 0; at < 200; at++) if ((await predict()) === 2) second++;
    expect(second).toBeGreaterThan(15);
    expect(second).toBeLessThan(75);
    expect((await apply(sums('second.tar.gz', 'canaryTrafficPercent: 20'))).out).toContain('sums unchanged');
  }, 60_000);

  it('grows its canary, takes it back with 0, and is promoted by leaving the percent out', async () => {
    await apply(sums('second.tar.gz', 'canaryTrafficPercent: 50'));
    expect(await traffic()).toEqual([
      { revision: 2, percent: 50 },
      { revision: 1, percent: 50, tag: 'prev' },
    ]);
    await apply(sums('second.tar.gz', 'canaryTrafficPercent: 0'));
    expect(await predict()).toBe(1);
    const promoted = await apply(sums('second.tar.gz'));
    expect(promoted.out).toBe('InferenceService/sums updated: version 2 is revision 2; traffic 2=100 %\n');
    expect((await apply(sums('second.tar.gz'))).out).toContain('sums unchanged');
    await expect.poll(predict).toBe(2);
    // what was whole before is gone back to, as KServe does after a promotion
    await apply(sums('second.tar.gz', 'canaryTrafficPercent: 0'));
    expect(await traffic()).toContainEqual({ revision: 1, percent: 100, tag: 'prev' });
  });

  it('keeps what it does not speak of', async () => {
    const { client } = gateway;
    const { scaling, model } = await endpoint();
    await client.put('/api/v1/endpoints/sums', {
      json: { model, scaling, access: 'public', routing: { stickyHeader: 'x-user' }, policy: { auto: false } },
    });
    await apply(sums('second.tar.gz'));
    expect(await endpoint()).toMatchObject({
      access: 'public',
      routing: { stickyHeader: 'x-user' },
      policy: { auto: false },
    });
  });

  it('changes its scaling by a revision of the same version', async () => {
    const scaled = await apply(sums('second.tar.gz', 'maxReplicas: 5'));
    expect(scaled.out).toBe('InferenceService/sums updated: version 2 is revision 3; traffic 3=100 %\n');
    expect((await endpoint()).revisions[0]?.scaling).toMatchObject({ maxReplicas: 5 });
  });

  it('says what it does not honour, and with --strict does nothing', async () => {
    const document = sums('add.onnx', 'serviceAccountName: sa');
    const strict = await apply(document, '--strict');
    expect(strict).toMatchObject({ code: 2, out: '' });
    expect(strict.err).toContain('standard input:7: spec.predictor.serviceAccountName is "sa": model servers run');
    expect((await endpoint()).revisions).toHaveLength(3);
    expect((await apply(document, '--dry-run')).err).toMatch(/^warning: standard input:7: spec\.predictor\.serviceAcc/);
    const unknown = await apply(sums('add.onnx', 'minReplica: 1'));
    expect(unknown.err).toContain(
      'standard input:7: spec.predictor.minReplica is no field that is known; did you mean',
    );
    const gone = await apply(sums('nothing.bin'));
    expect(gone).toMatchObject({ code: 1, err: expect.stringContaining('nothing.bin: it was answered 404') });
  });
});

describe('a Knative Service', () => {
  const service = (name: string, spec: string) =>
    `apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: { name: ${name} }\nspec: ${spec}\n`;

  it('moves the traffic of the endpoint of its name, and of the one that it was made for', async () => {
    const split = (name: string) =>
      service(
        name,
        `{ template: {}, traffic: [{ revisionName: ${name}-r1, percent: 75, tag: stable }, { latestRevision: true, percent: 25 }] }`,
      );
    const moved = await apply(split('sums'));
    expect(moved.out).toBe('Service/sums updated: endpoint sums: traffic 1=75 % (stable), 3=25 %\n');
    expect(moved.err).toContain('spec.template is ignored');
    const { id } = await endpoint();
    const made = `sums-${id
      .toLowerCase()
      .replace(/[^a-z0-9]/g, '')
      .slice(-8)}`;
    expect((await apply(split(made))).out).toBe(
      `Service/${made} unchanged: endpoint sums: traffic 1=75 % (stable), 3=25 %\n`,
    );
  });

  it('of no endpoint is refused', async () => {
    const refused = await apply(service('nobody', '{ traffic: [{ latestRevision: true, percent: 100 }] }'));
    expect(refused).toMatchObject({ code: 5, err: expect.stringContaining('there is no endpoint "nobody"') });
  });
});

const REQUIREMENTS = ['scikit-learn', 'numpy'];
const found = await pythonWith(REQUIREMENTS);

describe.skipIf('missing' in found)('an InferenceService of a scikit-learn model', () => {
  it('answers V1 and V2', async () => {
    const model = join(folder, 'iris');
    mkdirSync(model);
    writeFileSync(join(model, 'requirements.txt'), REQUIREMENTS.join('\n'));
    const python = 'python' in found ? found.python : '';
    const train =
      'import joblib, sys, sklearn.tree as t, sklearn.datasets as d; X, y = d.load_iris(return_X_y=True); joblib.dump(t.DecisionTreeClassifier(random_state=0).fit(X, y), sys.argv[1])';
    execFileSync(python, ['-c', train, join(model, 'iris.joblib')]);
    const made = await apply(`apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata: { name: sklearn-iris }
spec: { predictor: { model: { modelFormat: { name: sklearn }, protocolVersion: v2, storageUri: "file://${model}" } } }
`);
    expect(made).toMatchObject({ code: 0, out: expect.stringContaining('sklearn-iris created: version 1') });
    const rows = [
      [6.8, 2.8, 4.8, 1.4],
      [5.1, 3.5, 1.4, 0.2],
    ];
    const v1 = await gateway.client.post('/v1/models/sklearn-iris:predict', { json: { instances: rows } });
    expect(v1.body).toEqual({ predictions: [1, 0] });
    const inputs = [{ name: 'input-0', datatype: 'FP32', shape: [2, 4], data: rows }];
    const v2 = await gateway.client.post('/v2/models/sklearn-iris/infer', { json: { inputs } });
    expect(v2.body).toMatchObject({ outputs: [{ shape: [2], data: [1, 0] }] });
  }, 240_000);
});
