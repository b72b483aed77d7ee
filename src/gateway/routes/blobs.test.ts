import { beforeAll, describe, expect, test } from 'vitest';
import { digestOf, scenario } from '../../../tests/support/scenario.js';
import { type TestGateway, testGateway } from '../../../tests/support/test-services.js';

let gateway: TestGateway;

beforeAll(async () => {
  gateway = await testGateway();
});

describe('blobs and datasets', () => {
  const text = 'some bytes';
  scenario(
    'by digest',
    () => gateway,
    () => [
      { name: 'not there', method: 'GET', url: `/blobs/${digestOf(text)}`, status: 404 },
      {
        name: 'wrong digest',
        method: 'PUT',
        url: `/blobs/${digestOf('other')}`,
        body: text,
        status: 400,
        has: 'hash to',
      },
      { name: 'nothing was kept', method: 'GET', url: `/blobs/${digestOf(text)}`, status: 404 },
      { name: 'put', method: 'PUT', url: `/blobs/${digestOf(text)}`, body: text, status: 201, has: { bytes: 10 } },
      {
        name: 'put again',
        method: 'PUT',
        url: `/blobs/${digestOf(text)}`,
        body: text,
        status: 200,
        has: { bytes: 10 },
      },
      { name: 'get', method: 'GET', url: `/blobs/${digestOf(text)}`, status: 200, has: text },
      { name: 'no digest', method: 'PUT', url: '/blobs/nonsense', body: text, status: 400, has: 'must be sha256' },
      { name: 'post', method: 'POST', url: '/blobs', body: 'more', status: 201, has: { digest: digestOf('more') } },
      {
        name: 'bytes that are JSON stay bytes',
        method: 'POST',
        url: '/blobs',
        body: '{ "a":1 ',
        headers: { 'content-type': 'application/json' },
        status: 201,
        has: { bytes: 8 },
      },
      { name: 'an empty one', method: 'POST', url: '/blobs', status: 201, has: { bytes: 0 } },
      {
        name: 'too large',
        method: 'POST',
        url: '/blobs',
        body: new Uint8Array(2 ** 24 + 1),
        status: 413,
        has: String(2 ** 24),
      },
    ],
  );

  test('HEAD says the size and leaves the bytes', async () => {
    const response = await gateway.call('admin', 'HEAD', `/api/v1/blobs/${digestOf(text)}`);
    expect([response.status, response.headers.get('content-length'), await response.text()]).toEqual([200, '10', '']);
    expect((await gateway.call('admin', 'HEAD', `/api/v1/blobs/${digestOf('no')}`)).status).toBe(404);
  });

  scenario(
    'datasets have versions',
    () => gateway,
    () => [
      {
        name: 'bytes',
        method: 'POST',
        url: '/datasets/holdout/versions',
        body: 'one',
        status: 201,
        has: { name: 'holdout', version: 1, bytes: 3 },
      },
      {
        name: 'the same',
        method: 'POST',
        url: '/datasets/holdout/versions',
        body: 'one',
        status: 200,
        has: { version: 1 },
      },
      {
        name: 'by digest',
        method: 'POST',
        url: '/datasets/holdout/versions',
        body: { digest: digestOf(text) },
        status: 201,
        has: { version: 2, bytes: 10 },
      },
      {
        name: 'a digest of nobody',
        method: 'POST',
        url: '/datasets/holdout/versions',
        body: { digest: digestOf('no') },
        status: 400,
        has: 'was not uploaded',
      },
      { name: 'content', method: 'GET', url: '/datasets/holdout/versions/1/content', status: 200, has: 'one' },
      { name: 'no such version', method: 'GET', url: '/datasets/holdout/versions/3/content', status: 404 },
      {
        name: 'get',
        method: 'GET',
        url: '/datasets/holdout',
        status: 200,
        has: { versions: [{ version: 2 }, { version: 1 }] },
      },
      { name: 'none', method: 'GET', url: '/datasets/none', status: 404 },
      { name: 'list', method: 'GET', url: '/datasets', status: 200, has: { datasets: [{ name: 'holdout' }] } },
    ],
  );
});
