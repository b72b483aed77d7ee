import { beforeAll, describe, expect, test } from 'vitest';
import { check, modelBytes, scenario } from '../../../tests/support/scenario.js';
import { type TestGateway, testGateway } from '../../../tests/support/test-services.js';

let gateway: TestGateway;

beforeAll(async () => {
  gateway = await testGateway();
  await check(gateway, {
    method: 'POST',
    url: '/models/sums/versions',
    body: await modelBytes('add.onnx'),
    status: 201,
  });
});

const HTTP = { kind: 'http', url: 'http://127.0.0.1:9000/events' };
const put = (settings: object) => ({
  method: 'PUT',
  url: '/endpoints/sum',
  body: { model: 'sums', ...settings },
});
const refused = (name: string, settings: object, has: string) => ({ name, ...put(settings), status: 400, has });

describe('payload log and response cache of an endpoint', () => {
  scenario(
    'are off, are set, and go with the settings that leave them out',
    () => gateway,
    () => [
      {
        name: 'off by default',
        ...put({}),
        status: 201,
        has: { payloadLog: null, responseCache: { enabled: false, ttlSec: 60, maxBytes: 2 ** 26 } },
      },
      {
        name: 'set, with defaults filled in',
        ...put({
          payloadLog: { rate: 0.25, metadataHeaders: ['X-User'], sink: HTTP },
          responseCache: { enabled: true },
        }),
        status: 200,
        has: {
          payloadLog: { rate: 0.25, mode: 'all', metadataHeaders: ['x-user'], maxBodyBytes: 2 ** 20, sink: HTTP },
          responseCache: { enabled: true, maxEntryBytes: 2 ** 20 },
        },
      },
      {
        name: 'to the blob store',
        ...put({ payloadLog: { mode: 'response', sink: { kind: 'blobs', format: 'parquet', prefix: 'a/b' } } }),
        status: 200,
        has: {
          payloadLog: { rate: 1, sink: { kind: 'blobs', format: 'parquet', prefix: 'a/b', intervalSec: 60 } },
          responseCache: { enabled: false },
        },
      },
      { name: 'none is said as null', ...put({ payloadLog: null }), status: 200, has: { payloadLog: null } },
      {
        name: 'with an endpoint that serves at once',
        method: 'POST',
        url: '/endpoints',
        body: { name: 'other', model: 'sums', version: 1, payloadLog: { sink: HTTP } },
        status: 201,
        has: { payloadLog: { sink: HTTP } },
      },
    ],
  );

  scenario(
    'are refused with the field, the value and the bound',
    () => gateway,
    () => [
      refused(
        'rate 0',
        { payloadLog: { rate: 0, sink: HTTP } },
        'payloadLog.rate: Too small: expected number to be >0',
      ),
      refused('rate 2', { payloadLog: { rate: 2, sink: HTTP } }, 'expected number to be <=1 (got 2)'),
      refused('no sink', { payloadLog: {} }, 'payloadLog.sink'),
      refused('no such sink', { payloadLog: { sink: { kind: 'ftp' } } }, 'payloadLog.sink.kind'),
      refused(
        'no URL',
        { payloadLog: { sink: { kind: 'http', url: 'ftp://a' } } },
        'payloadLog.sink.url: must be an http or https URL without user and password (got \\"ftp://a\\")',
      ),
      refused(
        'a password',
        { payloadLog: { sink: { kind: 'http', url: 'http://a:b@c' } } },
        'without user and password',
      ),
      refused(
        'a secret header',
        { payloadLog: { metadataHeaders: ['Authorization'], sink: HTTP } },
        'payloadLog.metadataHeaders[0]: must be none of authorization',
      ),
      refused('a path upwards', { payloadLog: { sink: { kind: 'blobs', prefix: '../x' } } }, 'payloadLog.sink.prefix'),
      refused('a large body', { payloadLog: { maxBodyBytes: 2 ** 21, sink: HTTP } }, '<=1048576 (got 2097152)'),
      refused('a stray field', { payloadLog: { sink: HTTP, colour: 1 } }, 'colour'),
      refused('ttl', { responseCache: { ttlSec: 0 } }, 'responseCache.ttlSec'),
      refused(
        'an entry larger than all',
        { responseCache: { maxBytes: 65_536, maxEntryBytes: 65_537 } },
        'responseCache.maxEntryBytes: must be at most maxBytes (got 65537)',
      ),
    ],
  );

  test('routes have them where they are on', async () => {
    const { routing } = gateway.services;
    const route = async (settings: object) => {
      await check(gateway, { ...put(settings), status: 200 });
      await routing.reload(gateway.db);
      const { payloadLog, responseCache } = routing.find('default', 'sum') ?? {};
      return { payloadLog, responseCache };
    };
    expect(await route({})).toEqual({ payloadLog: undefined, responseCache: undefined });
    expect(await route({ payloadLog: { rate: 0.5, sink: HTTP }, responseCache: { enabled: true } })).toMatchObject({
      payloadLog: { rate: 0.5, mode: 'all', sink: HTTP },
      responseCache: { ttlSec: 60 },
    });
  });
});
