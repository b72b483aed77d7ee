/** Every operation that the OpenAPI document lists, against every kind of caller. */
import { beforeAll, describe, expect, test } from 'vitest';
import { conforms, type Operation, operations } from '../../tests/support/conforms.js';
import { type As, type TestGateway, testGateway } from '../../tests/support/test-services.js';

let gateway: TestGateway;

beforeAll(async () => {
  gateway = await testGateway();
});

/** A URL of the operation with something in place of each parameter. */
const urlOf = (operation: Operation, filler = '1') => operation.path.replace(/\{\w+\}/g, filler);

const guarded = () =>
  operations(gateway.app)
    .filter((one) => one.path.startsWith('/api/'))
    // its address is its key
    .filter((one) => one.operationId !== 'pullHook');

describe('who may call what', () => {
  const call = (as: As, operation: Operation) => gateway.call(as, operation.method, urlOf(operation));

  test('without a key: 401 everywhere', async () => {
    for (const operation of guarded()) {
      const response = await call('guest', operation);
      expect(`${operation.operationId} ${response.status}`).toBe(`${operation.operationId} 401`);
      expect(response.headers.get('www-authenticate')).toMatch(/^Bearer/);
      await conforms(gateway.app, operation.method, urlOf(operation), response);
    }
  });

  test('with a predict key: 403 everywhere but whoami and feedback', async () => {
    for (const operation of guarded()) {
      // 404: it may report, but there is no such endpoint
      const status = { whoami: 200, reportFeedback: 404 }[operation.operationId] ?? 403;
      const response = await call('predict', operation);
      expect(`${operation.operationId} ${response.status}`).toBe(`${operation.operationId} ${status}`);
      await conforms(gateway.app, operation.method, urlOf(operation), response);
    }
  });

  test('with an admin key and nonsense: an answer of the document, never 5xx', async () => {
    const fillers = ['1', 'x', '%00', '..%2f..', '99999999999999999999', "'--", '%F0%9F%98%80', '%zz'];
    for (const operation of guarded()) {
      for (const filler of fillers) {
        const bodies = filler === '1' ? [undefined, {}, [], { name: '\u0000' }, 'x'] : [{}];
        for (const body of operation.method === 'GET' ? [undefined] : bodies) {
          const url = urlOf(operation, filler);
          const response = await gateway.call('admin', operation.method, url, body);
          expect(response.status, `${operation.operationId} ${filler} ${JSON.stringify(body)}`).toBeLessThan(500);
          await conforms(gateway.app, operation.method, url, response);
        }
      }
    }
    expect(gateway.logged.filter((line) => line.includes('a request failed'))).toEqual([]);
  });

  test('a key that is not known, and one that was revoked', async () => {
    const unknown = await gateway.call('guest', 'GET', '/api/v1/whoami', undefined, { authorization: 'Bearer sk_no' });
    expect(unknown.status).toBe(401);
    expect(await unknown.text()).toContain('not known');
    const made = await gateway.call('admin', 'POST', '/api/v1/keys', { name: 'short-lived', role: 'admin' });
    const { id, key } = (await made.json()) as { id: string; key: string };
    const headers = { 'x-api-key': key };
    // at once: whoever is answered may rely on the answer
    expect((await gateway.call('guest', 'GET', '/api/v1/keys', undefined, headers)).status).toBe(200);
    await gateway.call('admin', 'DELETE', `/api/v1/keys/${id}`);
    expect((await gateway.call('guest', 'GET', '/api/v1/keys', undefined, headers)).status).toBe(401);
  });
});

describe('the document', () => {
  test('names every operation once, with a summary, a tag and errors', () => {
    const all = operations(gateway.app);
    const ids = all.map((one) => one.operationId);
    expect(new Set(ids).size).toBe(ids.length);
    for (const { operationId, path, responses, definition } of all) {
      expect(operationId).toMatch(/^[a-z][A-Za-z]+$/);
      expect(definition.summary).toBeTruthy();
      expect(definition.tags).toHaveLength(1);
      if (path.startsWith('/api/'))
        expect(Object.keys(responses)).toEqual(expect.arrayContaining(['401', '403', '500']));
    }
  });

  test('is OpenAPI 3.1 with every path parameter declared and every reference resolved', async () => {
    const response = await gateway.call('guest', 'GET', '/openapi.json');
    const text = await response.text();
    const document = JSON.parse(text) as {
      openapi: string;
      components: { schemas: Record<string, unknown> };
      paths: Record<string, Record<string, { parameters?: { name: string; in: string }[] }>>;
    };
    expect(document.openapi).toBe('3.1.0');
    for (const [path, item] of Object.entries(document.paths)) {
      const wanted = [...path.matchAll(/\{(\w+)\}/g)].map((match) => match[1]);
      for (const operation of Object.values(item)) {
        const declared = (operation.parameters ?? []).filter((one) => one.in === 'path').map((one) => one.name);
        expect(declared.sort(), path).toEqual(wanted.sort());
      }
    }
    for (const [, name] of text.matchAll(/"#\/components\/schemas\/([^"]+)"/g)) {
      expect(Object.keys(document.components.schemas)).toContain(name);
    }
  });

  test('is shown by a page that takes nothing from elsewhere', async () => {
    const page = await gateway.call('guest', 'GET', '/docs');
    expect(page.headers.get('content-security-policy')).toContain("script-src 'self'");
    expect(await page.text()).not.toMatch(/https?:\/\//);
    const script = await gateway.call('guest', 'GET', '/docs/redoc.js');
    expect(script.status).toBe(200);
    expect((await script.text()).length).toBeGreaterThan(100_000);
  });
});

describe('every answer', () => {
  test('carries a request id: the one given when it is sane, else a new one', async () => {
    const given = await gateway.call('guest', 'GET', '/healthz', undefined, { 'x-request-id': 'abc-1' });
    expect(given.headers.get('x-request-id')).toBe('abc-1');
    const odd = await gateway.call('guest', 'GET', '/api/v1/x', undefined, { 'x-request-id': 'a b"<' });
    const id = odd.headers.get('x-request-id');
    expect(id).toMatch(/^[0-9a-f-]{36}$/);
    expect(await odd.json()).toMatchObject({ error: { requestId: id } });
    expect(odd.headers.get('x-content-type-options')).toBe('nosniff');
  });

  test('hides what went wrong inside and logs it whole', async () => {
    const { services } = gateway;
    const broken = {
      ...services,
      readiness: () => {
        throw new TypeError('secret detail');
      },
    };
    const { createApp } = await import('./app.js');
    const response = await createApp(broken).request('/readyz', { headers: { 'x-request-id': 'r-7' } });
    expect(response.status).toBe(500);
    expect(await response.json()).toEqual({
      error: { code: 'internal', message: 'internal error (request r-7)', requestId: 'r-7' },
    });
    expect(gateway.logged.at(-1)).toContain('secret detail');
  });
});
