/** gRPC's own Python implementation, and protobuf's, against our HTTP/2, gRPC and codec. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '../support/children.js';
import { type EchoServer, echoServer } from '../support/grpc-echo.js';
import { pythonWith } from '../support/python-environment.js';

const PROGRAM = fileURLToPath(new URL('programs/grpcio_client.py', import.meta.url));
const PROTO = fileURLToPath(new URL('../../docs/inference.proto', import.meta.url));

/** What the program did, check by check: null when it held, else what it saw. */
type Report = Record<string, string | null>;

const found = await pythonWith(['grpcio>=1.60', 'grpcio-tools>=1.60']);
if ('missing' in found) console.warn(`grpcio is not tested: ${found.missing}`);

describe.skipIf('missing' in found)('grpcio', () => {
  let server: EchoServer;
  let report: Report = {};

  beforeAll(async () => {
    server = await echoServer(64 * 2 ** 20);
    const python = 'python' in found ? found.python : '';
    const { stdout } = await promisify(execFile)(python, [PROGRAM, `127.0.0.1:${server.port}`, PROTO], {
      timeout: 100_000,
    });
    report = JSON.parse(stdout) as Report;
  }, 120_000);

  const checks = [
    'messages: random contents of every type come back',
    'messages: raw contents come back raw, half precision too',
    'messages: the server and its models',
    'messages: statistics',
    'messages: repository, trace and log settings',
    'metadata, deadline and binary metadata',
    'a status with words beyond ASCII',
    'an unknown method',
    'what is no message',
    'a message of 50 MB both ways',
    'a message beyond the bound, and the connection goes on',
    'gzip and deflate',
    '100 calls at once',
    'a stream, answered as it goes',
    'a stream of large messages, one way after the other',
    'cancelling, by hand and by deadline',
  ];

  it.each(checks)('%s', (name) => {
    expect(report).toHaveProperty([name]);
    expect(report[name]).toBeNull();
  });

  it('checks nothing that is not listed here', () => {
    expect(Object.keys(report)).toHaveLength(checks.length);
  });

  it('leaves nothing open, and no error of ours', async () => {
    expect(server.cancelled()).toBe(2);
    await eventually(() => server.connections.every(({ openCalls }) => openCalls === 0));
    expect(server.faults).toEqual([]);
  });
});
