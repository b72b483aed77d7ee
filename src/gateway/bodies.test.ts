import { beforeAll, describe, expect, test } from 'vitest';
import { scenario } from '../../tests/support/scenario.js';
import { type TestGateway, testGateway } from '../../tests/support/test-services.js';

let gateway: TestGateway;

beforeAll(async () => {
  gateway = await testGateway();
});

describe('bodies', () => {
  const json = { 'content-type': 'application/json' };
  const url = '/endpoints';
  scenario(
    'what is wrong with them is said',
    () => gateway,
    () => [
      {
        name: 'every problem',
        method: 'POST',
        url,
        body: { name: 'Sum', model: 'sums', scaling: { concurrency: 0, maxReplicas: 9999 } },
        status: 400,
        has: 'scaling.concurrency: Too small: expected number to be >=1 (got 0)',
      },
      {
        name: 'a field of no schema',
        method: 'POST',
        url,
        body: { name: 'a', model: 'sums', colour: 1 },
        status: 400,
        has: 'Unrecognized key: \\"colour\\"',
      },
      {
        name: 'cut off',
        method: 'POST',
        url,
        body: '{"name":\n "a"',
        headers: json,
        status: 400,
        has: 'line 2, column 5',
      },
      {
        name: 'a stray sign',
        method: 'POST',
        url,
        body: '{"name" "a"}',
        headers: json,
        status: 400,
        has: 'line 1, column 9',
      },
      { name: 'empty', method: 'POST', url, body: '', headers: json, status: 400, has: 'the body is empty' },
      {
        name: 'another type',
        method: 'POST',
        url,
        body: 'a=1',
        headers: { 'content-type': 'text/plain' },
        status: 400,
        has: 'Content-Type text/plain is not taken here: send application/json',
      },
      {
        name: 'too large',
        method: 'POST',
        url,
        body: `{"name":"${'a'.repeat(2 ** 20)}"}`,
        headers: json,
        status: 413,
        has: String(2 ** 20),
      },
      {
        name: 'a NUL',
        method: 'POST',
        url: '/models',
        body: { name: 'nul', description: 'a\u0000b' },
        status: 400,
        has: 'cannot be stored',
      },
      {
        name: 'a limit out of bounds',
        method: 'GET',
        url: '/jobs?limit=100000',
        status: 400,
        has: 'limit: Too big: expected number to be <=1000 (got \\"100000\\")',
      },
      { name: 'a state of no job', method: 'GET', url: '/jobs?state=done', status: 400, has: 'state: ' },
    ],
  );

  test('a method that is not taken: 405 and which are', async () => {
    const response = await gateway.call('admin', 'PUT', '/api/v1/jobs', {});
    expect([response.status, response.headers.get('allow')]).toEqual([405, 'GET, POST']);
  });
});
