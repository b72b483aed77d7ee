/** Bytes in and out over real sockets, and clients that leave in the middle. */
import { randomBytes } from 'node:crypto';
import { connect } from 'node:net';
import { beforeAll, describe, expect, test } from 'vitest';
import { eventually } from '../../tests/support/children.js';
import { digestOf } from '../../tests/support/scenario.js';
import { serve } from '../../tests/support/test-server.js';
import { type TestGateway, testGateway } from '../../tests/support/test-services.js';

let gateway: TestGateway;
let url: string;
let port: number;

beforeAll(async () => {
  gateway = await testGateway({ uploadBytes: 2 ** 26, apiTimeoutMs: 300 });
  ({ api: url, port } = await serve(gateway));
});

const auth = () => ({ authorization: `Bearer ${gateway.keys.admin}` });

describe('uploads', () => {
  test('stream in and out whole', async () => {
    const bytes = randomBytes(5 * 2 ** 20);
    const digest = digestOf(bytes);
    const put = await fetch(`${url}/blobs/${digest}`, { method: 'PUT', headers: auth(), body: bytes });
    expect([put.status, await put.json()]).toEqual([201, { digest, bytes: bytes.length }]);
    const got = await fetch(`${url}/blobs/${digest}`, { headers: auth() });
    expect(got.headers.get('content-length')).toBe(String(bytes.length));
    expect(Buffer.compare(Buffer.from(await got.arrayBuffer()), bytes)).toBe(0);
  });

  test('in chunks of unknown length, slower than the time limit of other calls', async () => {
    async function* chunks() {
      for (let at = 0; at < 5; at++) {
        yield randomBytes(1000);
        await new Promise((resolve) => setTimeout(resolve, 120));
      }
    }
    const response = await fetch(`${url}/blobs`, {
      method: 'POST',
      headers: auth(),
      body: ReadableStream.from(chunks()),
      duplex: 'half',
    });
    expect([response.status, await response.json()]).toMatchObject([201, { bytes: 5000 }]);
  });

  test('that are cut off leave nothing', async () => {
    const before = await gateway.db.selectFrom('blobs').select('digest').execute();
    for (const path of ['/api/v1/blobs', '/api/v1/datasets/half/versions', '/api/v1/models/half/versions']) {
      const socket = connect(port, '127.0.0.1');
      const head = [
        `POST ${path} HTTP/1.1`,
        'Host: test',
        `Authorization: Bearer ${gateway.keys.admin}`,
        'Content-Type: application/octet-stream',
        'Content-Length: 1000000',
      ];
      socket.write(`${head.join('\r\n')}\r\n\r\n`);
      socket.write(randomBytes(300_000));
      await eventually(async () => (await gateway.leftovers()).length === 1);
      socket.destroy();
      await eventually(async () => (await gateway.leftovers()).length === 0);
    }
    expect(await gateway.db.selectFrom('blobs').select('digest').execute()).toEqual(before);
    expect(gateway.logged.filter((line) => line.includes('"level":"error"'))).toEqual([]);
  });

  test('with another digest than promised: 400, and nothing stays', async () => {
    const digest = `sha256:${'0'.repeat(64)}`;
    const response = await fetch(`${url}/blobs/${digest}`, { method: 'PUT', headers: auth(), body: 'x' });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ error: { code: 'invalid', details: { expected: digest } } });
    expect(await gateway.leftovers()).toEqual([]);
  });

  test('larger than allowed are refused by their length, unread', async () => {
    const response = await fetch(`${url}/blobs`, {
      method: 'POST',
      headers: auth(),
      body: Buffer.alloc(2 ** 26 + 1),
    }).catch(() => undefined);
    // the connection may go before a client that still sends has read the answer
    if (response) expect(response.status).toBe(413);
    expect(await gateway.leftovers()).toEqual([]);
  });
});
