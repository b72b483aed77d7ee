import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { childEnv } from '../../src/config.js';
import { messageOf } from '../../src/errors.js';
import { Http2Connection } from '../../src/gateway/http2/connection.js';
import { encodeHeaders } from '../../src/gateway/http2/hpack-encoder.js';
import { DEFAULT_LIMITS } from '../../src/gateway/http2/limits.js';
import type { Verification } from '../verification.js';

const exec = promisify(execFile);
const PROGRAM = 'github.com/summerwind/h2spec/cmd/h2spec@v2.2.1+incompatible';

/**
 * The HTTP/2 server under gRPC against h2spec, an independent test suite of RFC 7540 and 7541, in its strict form. h2spec
 * is taken from the PATH, else installed by Go into a folder of its own.
 */
export const h2spec: Verification = {
  name: 'h2spec',
  summary: 'the HTTP/2 server under gRPC, frame by frame, against the h2spec suite',
  async run() {
    const folder = await mkdtemp(join(tmpdir(), 'sluice-h2spec-'));
    try {
      const found = await findProgram(folder);
      if ('missing' in found) return { ok: true, figures: {}, notRun: [`h2spec: ${found.missing}`] };
      return await runSuite(found.program);
    } finally {
      await exec('chmod', ['-R', 'u+w', folder]);
      await rm(folder, { recursive: true, force: true });
    }
  },
};

async function findProgram(folder: string): Promise<{ program: string } | { missing: string }> {
  try {
    await exec('h2spec', ['--version']);
    return { program: 'h2spec' };
  } catch {
    // not on the PATH
  }
  try {
    await exec('go', ['install', PROGRAM], { env: childEnv({ GOBIN: folder }), timeout: 240_000 });
    return { program: join(folder, 'h2spec') };
  } catch (error) {
    return { missing: `it is not on the PATH, and Go could not install it: ${messageOf(error).split('\n', 1)[0]}` };
  }
}

async function runSuite(program: string) {
  const sockets = new Set<Socket>();
  const faults: unknown[] = [];
  const server = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket);
    answerHello(socket, (error) => faults.push(error));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    const { port } = server.address() as AddressInfo;
    const { stdout } = await exec(program, ['--strict', '-p', String(port)], { maxBuffer: 2 ** 24 }).catch(
      // it ends with 1 when a case fails
      (error: { stdout?: string }) => ({ stdout: error.stdout ?? '' }),
    );
    const [, cases = '0', passed = '0', failed = '0'] =
      /(\d+) tests, (\d+) passed, \d+ skipped, (\d+) failed/.exec(stdout) ?? [];
    if (failed !== '0') console.error(stdout.slice(stdout.indexOf('Failures:')));
    for (const fault of faults) console.error('h2spec: an error of ours', fault);
    return {
      ok: cases !== '0' && passed === cases && faults.length === 0,
      figures: {
        cases: Number(cases),
        passed: Number(passed),
        failed: Number(failed),
        'errors of ours': faults.length,
      },
      notRun: [],
    };
  } finally {
    server.close();
    for (const socket of sockets) socket.destroy();
  }
}

const HEAD = encodeHeaders([
  [':status', '200'],
  ['content-type', 'text/plain'],
]);
const TRAILERS = encodeHeaders([['x-end', 'yes']]);

/** Any request gets the same answer, with a body, as h2spec wants it. */
function answerHello(socket: Socket, onFault: (error: unknown) => void): void {
  new Http2Connection(socket, {
    limits: DEFAULT_LIMITS,
    onFault,
    onStream: (stream) => ({
      data(piece, end) {
        stream.consumed(piece.length);
        if (end) stream.answer(HEAD, [Buffer.from('hello world')], TRAILERS);
      },
      writable() {},
      overdue() {},
      closed() {},
    }),
  });
}
