/** What goes out over HTTP on behalf of others: requests to gateways, and webhooks. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { afterAll, describe, expect, it } from 'vitest';
import type { GatewayRequest } from '../../src/core/gateways/ask.js';
import { freePort } from '../../src/platform/free-port.js';
import { createAskGateway } from '../../src/platform/gateways/ask-gateway.js';
import { createPostWebhook } from '../../src/platform/webhooks/post.js';

const servers: Server[] = [];
const clients: { close(): void }[] = [];
afterAll(() => {
  for (const client of clients) client.close();
  for (const server of servers) {
    server.closeAllConnections();
    server.close();
  }
});

async function serve(handle: (request: IncomingMessage, response: ServerResponse) => void): Promise<string> {
  const server = createServer(handle);
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function client(urls: string[], keyFor: (project: string, refused?: string) => Promise<string> = async () => 'k') {
  const ask = createAskGateway({ gateways: async () => urls, keyFor, idleMs: 300 });
  clients.push(ask);
  return ask;
}

const request = (more: Partial<GatewayRequest> = {}): GatewayRequest => ({
  project: 'default',
  method: 'POST',
  path: '/v2/models/m/infer',
  headers: { 'content-type': 'x/y' },
  body: { bytes: 5, open: async () => Readable.from([Buffer.from('hello')]) },
  signal: new AbortController().signal,
  ...more,
});

describe('a gateway that is asked', () => {
  it('gets path, headers, key and body, and its answer comes back as it is', async () => {
    const url = await serve(async (incoming, response) => {
      const { method, url: path, headers } = incoming;
      response.writeHead(418, { 'x-answer': 'yes' });
      response.end(
        JSON.stringify([method, path, headers['content-type'], headers.authorization, await text(incoming)]),
      );
    });
    const reply = await client([url])(request());
    expect([reply.status, reply.headers['x-answer'], JSON.parse(await text(reply.body))]).toEqual([
      418,
      'yes',
      ['POST', '/v2/models/m/infer', 'x/y', 'Bearer k', 'hello'],
    ]);
  });

  it('may not know a key yet, and is asked again with another one', async () => {
    const seen: (string | undefined)[] = [];
    const url = await serve((incoming, response) => {
      seen.push(incoming.headers.authorization);
      incoming.resume();
      response.writeHead(seen.length < 4 ? 401 : 200).end('x');
    });
    const reply = await client([url], async (_project, refused) => (refused === 'old' ? 'new' : 'old'))(request());
    expect([reply.status, seen]).toEqual([200, ['Bearer old', 'Bearer new', 'Bearer new', 'Bearer new']]);
  });

  it('that is not there has worked on nothing; one that goes away may have', async () => {
    const nobody = client([`http://127.0.0.1:${await freePort()}`]);
    await expect(nobody(request())).rejects.toMatchObject({ code: 'not_ready' });
    await expect(client([])(request())).rejects.toMatchObject({ code: 'not_ready' });
    const unread = { bytes: 5, open: () => Promise.reject(new Error('gone')) };
    await expect(nobody(request({ body: unread }))).rejects.toMatchObject({ code: 'not_ready' });
    const url = await serve((incoming) => incoming.socket.destroy());
    await expect(client([url])(request({ fresh: true }))).rejects.toMatchObject({ code: 'upstream_failed' });
    const silent = await serve(() => {});
    await expect(client([silent])(request())).rejects.toMatchObject({ code: 'upstream_failed' });
  });

  it('is left when nobody waits any more', async () => {
    const stop = new AbortController();
    const gone = new Promise<void>((resolve) => {
      void serve((incoming) => {
        incoming.socket.on('close', () => resolve());
        stop.abort(new Error('enough'));
      }).then((url) => client([url])(request({ signal: stop.signal })).catch(() => {}));
    });
    await gone;
    await expect(client(['http://127.0.0.1:1'])(request({ signal: stop.signal }))).rejects.toThrow('enough');
  });
});

describe('a webhook', () => {
  const posted = { headers: { 'webhook-id': 'x' }, body: '{"a":1}', signal: new AbortController().signal };

  it('brings headers and body, and tells the status; a redirect is an answer', async () => {
    const seen: unknown[] = [];
    const url = await serve(async (incoming, response) => {
      seen.push(incoming.method, incoming.headers['webhook-id'], await text(incoming));
      response.writeHead(302, { location: 'http://127.0.0.1:1/' }).end();
    });
    const post = createPostWebhook({ allowPrivate: true });
    expect(await post({ ...posted, url })).toBe(302);
    expect(seen).toEqual(['POST', 'x', '{"a":1}']);
  });

  it.each(['http://127.0.0.1:9/', 'http://localhost:9/', 'http://[::1]:9/', 'https://localhost/'])(
    'does not go to %s',
    async (url) => {
      const post = createPostWebhook({ allowPrivate: false });
      await expect(post({ ...posted, url })).rejects.toMatchObject({
        code: 'forbidden',
        message: expect.stringContaining('private address'),
      });
    },
  );
});
