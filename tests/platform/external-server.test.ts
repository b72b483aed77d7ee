import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { afterEach, describe, expect, it } from 'vitest';
import { ask } from '../../src/core/inference/forward.js';
import { serverSchema } from '../../src/core/models/server.js';
import { startExternalServer } from '../../src/platform/fleet/external-server.js';
import type { RunningServer } from '../../src/platform/fleet/running-server.js';
import { isRunning } from '../../src/platform/processes.js';
import { eventually } from '../support/children.js';
import { addCall } from '../support/fleet-bench.js';
import { quietLog } from '../support/quiet-log.js';
import { modelPath, RUNTIME_SCRIPT } from '../support/runtime.js';

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

async function start(server: object, folder = tmpdir()): Promise<RunningServer> {
  const started = await startExternalServer({
    server: serverSchema.parse(server),
    name: 'model',
    folder,
    env: { PATH: process.env.PATH ?? '/usr/bin:/bin' },
    drainMs: 2000,
    log: quietLog,
  });
  cleanups.push(started.kill);
  return started;
}

/** Our own model server, started as anybody's. */
const command = (...more: string[]) => [
  process.execPath,
  RUNTIME_SCRIPT,
  ...['--http', '127.0.0.1:{port}', '--model', '{model}/add.onnx', '--name', '{name}', ...more],
];
const models = modelPath('');

describe('a server that is a command', () => {
  it('is started in its folder with port and name filled in, answers, and ends when it is stopped', async () => {
    const server = await start({ command: command() }, models);
    const reply = await ask(server.forward, addCall).reply;
    expect([reply.status, JSON.parse(reply.body.toString()).outputs[0].data]).toEqual([200, [4, 6]]);
    await server.stop();
    expect(isRunning(server.pid ?? 0)).toBe(false);
    await expect(ask(server.forward, addCall).reply).rejects.toMatchObject({ code: 'upstream_failed' });
  });

  it('goes by the name that it is given', async () => {
    const server = await start({ command: command(), modelName: 'other' }, models);
    const call = { ...addCall, path: '/v2/models/other/infer' };
    expect((await ask(server.forward, call).reply).status).toBe(200);
  });

  it('that dies fails what is in flight and is known to be gone', async () => {
    const server = await start({ command: command() }, models);
    process.kill(server.pid ?? 0, 'SIGKILL');
    await server.gone;
    expect(await server.exited).toContain('SIGKILL');
  });

  it.each([
    [
      'ends at once',
      { command: ['sh', '-c', 'echo no such model >&2; exit 3'] },
      'it ended with code 3: no such model',
    ],
    ['cannot be found', { command: ['no-such-program-anywhere'] }, 'it ended with code 127'],
    [
      'is never ready',
      { command: command(), readyPath: '/nothing', startTimeoutSec: 1 },
      'it was not ready within 1 s (GET /nothing)',
    ],
  ])('that %s is told of in its own words', async (_what, server, message) => {
    await expect(start(server, models)).rejects.toMatchObject({
      code: 'upstream_failed',
      message: expect.stringContaining(message),
    });
  });

  it('leaves nothing behind when it is never ready', async () => {
    const marker = `external-${process.pid}-${Math.random()}`;
    const sleeping = { command: ['sh', '-c', `exec sleep 1000 # ${marker}`], startTimeoutSec: 1 };
    await expect(start(sleeping)).rejects.toMatchObject({ code: 'upstream_failed' });
  });
});

describe('a server that runs already', () => {
  async function serve(): Promise<{ server: Server; url: string; seen: string[] }> {
    const seen: string[] = [];
    const server = createServer((request, response) => {
      seen.push(`${request.method} ${request.url}`);
      request.resume();
      request.on('end', () => response.end('{}'));
    });
    cleanups.push(() => {
      server.closeAllConnections();
      server.close();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/base`, seen };
  }

  it('is asked under its base path, and is not ended with its replica', async () => {
    const { url, seen } = await serve();
    const running = await start({ url });
    expect((await ask(running.forward, addCall).reply).body.toString()).toBe('{}');
    expect(seen).toEqual(['GET /base/v2/health/ready', 'POST /base/v2/models/model/infer']);
    expect(running.pid).toBe(null);
    await running.stop();
    expect((await fetch(`${url}/still`)).status).toBe(200);
  });

  it('is known to be gone when it does not answer any more', async () => {
    const { url, server } = await serve();
    const running = await start({ url });
    server.closeAllConnections();
    server.close();
    await running.gone;
    expect(await running.exited).toContain('not ready any more');
  });

  it('must be ready', async () => {
    await expect(start({ url: 'http://127.0.0.1:9', startTimeoutSec: 1 })).rejects.toMatchObject({
      message: expect.stringContaining('is not ready'),
    });
  });
});

it('an image is for clusters', async () => {
  await expect(async () => start({ image: 'somebody/model:1' })).rejects.toMatchObject({ code: 'unsupported' });
  await eventually(() => true);
});
