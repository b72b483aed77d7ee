import { beforeAll, describe } from 'vitest';
import { check, digestOf, modelBytes, scenario } from '../../../tests/support/scenario.js';
import { type TestGateway, testGateway } from '../../../tests/support/test-services.js';

let gateway: TestGateway;
let add: Uint8Array;

beforeAll(async () => {
  gateway = await testGateway();
  add = await modelBytes('add.onnx');
  for (const bytes of [await modelBytes('add.onnx'), await modelBytes('identity-fp32.onnx')]) {
    await check(gateway, { method: 'POST', url: '/models/sums/versions', body: bytes, status: 201 });
  }
});

describe('models', () => {
  scenario(
    'a model from its creation to its files',
    () => gateway,
    () => [
      {
        name: 'create',
        method: 'POST',
        url: '/models',
        body: { name: 'm1', description: 'x' },
        status: 201,
        has: { lastVersion: 0 },
      },
      {
        name: 'twice',
        method: 'POST',
        url: '/models',
        body: { name: 'm1' },
        status: 409,
        has: 'model \\"m1\\" exists already',
      },
      {
        name: 'bytes',
        method: 'POST',
        url: '/models/m1/versions',
        body: add,
        status: 201,
        has: { version: 1, framework: 'onnx', lineage: { kind: 'upload', actor: 'ada' } },
      },
      {
        name: 'the same bytes',
        method: 'POST',
        url: '/models/m1/versions',
        body: add,
        status: 200,
        has: { version: 1 },
      },
      {
        name: 'files',
        method: 'POST',
        url: '/models/m1/versions',
        body: { files: [{ path: 'deep/model.onnx', digest: digestOf(add) }], metrics: { accuracy: 0.9 } },
        status: 201,
        has: { version: 2, metrics: { accuracy: 0.9 } },
      },
      {
        name: 'read',
        method: 'GET',
        url: '/models/m1',
        status: 200,
        has: { lastVersion: 2, versions: [{ version: 2 }, { version: 1 }] },
      },
      {
        name: 'a version',
        method: 'GET',
        url: '/models/m1/versions/1',
        status: 200,
        has: { signature: { inputs: [{ name: 'a' }, { name: 'b' }] } },
      },
      { name: 'no such version', method: 'GET', url: '/models/m1/versions/7', status: 404, has: 'no version 7' },
      { name: 'a file', method: 'GET', url: '/models/m1/versions/2/files/deep/model.onnx', status: 200 },
      { name: 'no such file', method: 'GET', url: '/models/m1/versions/2/files/other', status: 404 },
      { name: 'list', method: 'GET', url: '/models', status: 200, has: '"m1"' },
    ],
  );

  scenario(
    'what does not load is refused in the words of the engine',
    () => gateway,
    () => [
      {
        name: 'corrupt',
        method: 'POST',
        url: '/models/bad/versions',
        body: new TextEncoder().encode('not a model'),
        status: 400,
        has: 'rotobuf',
      },
      { name: 'it left no version', method: 'GET', url: '/models/bad', status: 404 },
      {
        name: 'not uploaded',
        method: 'POST',
        url: '/models/bad/versions',
        body: { files: [{ path: 'model.onnx', digest: digestOf('zz') }] },
        status: 400,
        has: 'files[0].digest: ',
      },
      {
        name: 'a path that leads out',
        method: 'POST',
        url: '/models/bad/versions',
        body: { files: [{ path: '../model.onnx', digest: digestOf(add) }] },
        status: 400,
        has: 'files[0].path: must be a plain relative path (got \\"../model.onnx\\")',
      },
      {
        name: 'no model among the files',
        method: 'POST',
        url: '/models/bad/versions',
        body: { files: [{ path: 'a.txt', digest: digestOf(add) }] },
        status: 400,
        has: 'no model among a.txt',
      },
      {
        name: 'a name out of form',
        method: 'POST',
        url: '/models/Bad_/versions',
        body: add,
        status: 400,
        has: 'model: use 1 to 63',
      },
    ],
  );

  scenario(
    'aliases move by compare-and-set',
    () => gateway,
    () => [
      {
        name: 'set',
        method: 'PUT',
        url: '/models/sums/aliases/best',
        body: { version: 1, expect: null, reason: 'first' },
        status: 200,
        has: { version: 1 },
      },
      {
        name: 'must not exist',
        method: 'PUT',
        url: '/models/sums/aliases/best',
        body: { version: 2, expect: null },
        status: 409,
        has: 'names version 1',
      },
      {
        name: 'lost update',
        method: 'PUT',
        url: '/models/sums/aliases/best',
        body: { version: 2, expect: 2 },
        status: 409,
        has: { error: { details: { current: 1 } } },
      },
      {
        name: 'move',
        method: 'PUT',
        url: '/models/sums/aliases/best',
        body: { version: 2, expect: 1 },
        status: 200,
        has: {
          version: 2,
          history: [
            { from: 1, to: 2, actor: 'ada' },
            { from: null, to: 1, reason: 'first' },
          ],
        },
      },
      { name: 'no such version', method: 'PUT', url: '/models/sums/aliases/best', body: { version: 9 }, status: 404 },
      { name: 'list', method: 'GET', url: '/models/sums/aliases', status: 200, has: '"best"' },
      { name: 'delete, wrongly expected', method: 'DELETE', url: '/models/sums/aliases/best?expect=1', status: 409 },
      { name: 'delete', method: 'DELETE', url: '/models/sums/aliases/best?expect=2', status: 204 },
      {
        name: 'history stays',
        method: 'GET',
        url: '/models/sums/aliases/best',
        status: 200,
        has: { version: null, history: [{ to: null }, { to: 2 }, { to: 1 }] },
      },
      { name: 'delete again', method: 'DELETE', url: '/models/sums/aliases/best', status: 404 },
    ],
  );
});
