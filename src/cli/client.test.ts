import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterEach, describe, expect, it } from 'vitest';
import { ApiError, SluiceClient, UnreachableError } from './client.js';
import { parseEvents, type ServerEvent } from './sse.js';

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

async function serve(listener: RequestListener): Promise<SluiceClient> {
  const server = createServer(listener);
  servers.push(server);
  await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready));
  return new SluiceClient({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, key: 'sk_x' });
}

describe('call', () => {
  it('sends key, query and JSON, and gives the body exactly', async () => {
    const client = await serve(async (request, response) => {
      const { url, method, headers } = request;
      const seen = {
        url,
        method,
        key: headers.authorization,
        type: headers['content-type'],
        body: await text(request),
      };
      response.end(`{ "big": 9007199254740993, "seen": ${JSON.stringify(seen)} }`);
    });
    const answer = await client.post<{ seen: unknown }>('/x', {
      json: { a: 1 },
      query: { at: 'a b', none: undefined },
    });
    expect(answer.text).toContain('{ "big": 9007199254740993,');
    expect(answer.body.seen).toEqual({
      url: '/x?at=a+b',
      method: 'POST',
      key: 'Bearer sk_x',
      type: 'application/json',
      body: '{"a":1}',
    });
  });

  it('throws what the API says, and what a model server or a proxy says', async () => {
    const answers: Record<string, [number, string]> = {
      '/api': [409, '{"error":{"code":"conflict","message":"no","requestId":"r1","details":{"a":1}}}'],
      '/oip': [400, '{"error":"bad tensor"}'],
      '/proxy': [502, '<html>oh</html>'],
    };
    const client = await serve((request, response) => {
      const [status, body] = answers[request.url ?? ''] ?? [404, ''];
      response.writeHead(status, { 'retry-after': '3' }).end(body);
    });
    const failed = async (path: string) => (await client.get(path).catch((error: unknown) => error)) as ApiError;
    expect(await failed('/api')).toMatchObject({
      status: 409,
      code: 'conflict',
      message: 'no',
      requestId: 'r1',
      details: { a: 1 },
      retryAfterSec: 3,
    });
    expect(await failed('/oip')).toMatchObject({ message: 'bad tensor' });
    expect(await failed('/proxy')).toMatchObject({ message: 'GET /proxy was answered 502' });
    expect(await client.exists('/none')).toBe(false);
    expect(await failed('/api')).toBeInstanceOf(ApiError);
  });

  it('repeats after a broken connection what is safe to repeat, and nothing else', async () => {
    let calls = 0;
    const bodies: string[] = [];
    const client = await serve(async (request, response) => {
      if (++calls % 2 === 1) return request.socket.destroy();
      bodies.push(`${request.headers['content-length']}:${await text(request)}`);
      response.end('{}');
    });
    async function* open() {
      yield Buffer.from('whole ');
      yield Buffer.from('body');
    }
    await client.get('/');
    await client.put('/', { stream: { bytes: 10, open } });
    await client.post('/', { json: {}, headers: { 'Idempotency-Key': 'k' } });
    expect(calls).toBe(6);
    expect(bodies[1]).toBe('10:whole body');
    await expect(client.post('/', { json: {} })).rejects.toThrow(UnreachableError);
    expect(calls).toBe(7);
  });

  it('says that nobody listens, or that nobody answers in time', async () => {
    const client = await serve(() => {});
    await expect(client.get('/', { timeoutMs: 50 })).rejects.toThrow(/no answer within 0\.05 s/);
    const nobody = new SluiceClient({ url: client.url });
    for (const server of servers.splice(0)) {
      server.closeAllConnections();
      await new Promise((closed) => server.close(closed));
    }
    await expect(nobody.get('/')).rejects.toThrow(/cannot reach http:.*: nobody listens there/);
  });

  it('stops when it is told', async () => {
    const client = await serve(() => {});
    const stop = new AbortController();
    const call = client.get('/', { signal: stop.signal });
    setTimeout(() => stop.abort(), 20);
    await expect(call).rejects.toThrow(/abort/i);
  });
});

describe('events', () => {
  it('goes on after broken connections with the last id, without losing or repeating anything', async () => {
    const asked: (string | undefined)[] = [];
    const client = await serve((request, response) => {
      const last = request.headers['last-event-id'] as string | undefined;
      asked.push(last);
      if (asked.length === 2) return void response.writeHead(503).end();
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      const from = Number(last ?? 0);
      response.write(
        `: hello\n\nid: ${from + 1}\ndata: ${from + 1}\n\nid: ${from + 2}\nevent: log\ndata: ${from + 2}\n\n`,
      );
      setTimeout(() => (asked.length < 3 ? response.destroy() : response.end('event: end\ndata: x\n\n')), 20);
    });
    const seen: string[] = [];
    for await (const event of client.events('/logs')) {
      seen.push(`${event.event} ${event.data}`);
      if (event.event === 'end') break;
    }
    expect(seen).toEqual(['message 1', 'log 2', 'message 3', 'log 4', 'end x']);
    expect(asked).toEqual([undefined, '2', '2']);
  });

  it('notices a connection that went silent', async () => {
    let connections = 0;
    const client = await serve((_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write(++connections === 1 ? ': hello\n\n' : 'data: back\n\n');
    });
    for await (const event of client.events('/', { idleMs: 50 })) {
      expect(event.data).toBe('back');
      break;
    }
    expect(connections).toBe(2);
  });

  it('gives up on what will not pass', async () => {
    const client = await serve((_request, response) =>
      response.writeHead(404).end('{"error":{"code":"not_found","message":"no job"}}'),
    );
    await expect(client.events('/').next()).rejects.toThrow('no job');
  });
});

describe('parseEvents', () => {
  const parse = async (...parts: string[]) => {
    async function* chunks() {
      for (const part of parts) yield Buffer.from(part);
    }
    const found: ServerEvent[] = [];
    for await (const event of parseEvents(chunks())) found.push(event);
    return found;
  };

  it('reads lines however they are cut and ended', async () => {
    const expected = [
      { id: '1', event: 'log', data: 'a\nb' },
      { id: '1', event: 'message', data: ' c' },
    ];
    const whole = 'id: 1\r\nevent: log\r\ndata: a\r\ndata:b\r\n\r\n: c\r\n\r\ndata:  c\r\n\r\ndata: unfinished';
    expect(await parse(whole)).toEqual(expected);
    expect(await parse(...whole)).toEqual(expected);
    expect(await parse(whole.replaceAll('\r\n', '\n'))).toEqual(expected);
  });
});
