/** What the ONNX engine does to the process around it. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { onnxModel, tensor } from '../support/onnx-model.js';
import { connectFrames, inferBody, modelPath, startRuntime, stopRuntimes } from '../support/runtime.js';

afterEach(stopRuntimes);

const folder = mkdtempSync(join(tmpdir(), 'sluice-onnx-server-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const INFER = '/v2/models/model/infer';
const slow = (steps: number) => inferBody('steps', 'INT64', [], [steps]);

async function post(url: string, body: object): Promise<Response> {
  return fetch(url, { method: 'POST', body: JSON.stringify(body) });
}

describe('a model server whose model is slow', () => {
  it('answers everything else while it computes', async () => {
    const { socket } = await startRuntime(['--model', modelPath('slow.onnx')]);
    const client = await connectFrames(socket);
    const order: string[] = [];
    const noted = async (what: string, sent: Promise<{ status: number }>) => {
      expect((await sent).status).toBe(200);
      order.push(what);
    };
    await Promise.all([
      noted('inference', client.send('POST', INFER, slow(8000))),
      noted('health', client.send('GET', '/v2/health/ready')),
      noted('metadata', client.send('GET', '/v2/models/model')),
    ]);
    expect(order).toEqual(['health', 'metadata', 'inference']);
  });

  it('computes as many at once as it has instances', async () => {
    const { socket, url } = await startRuntime([]);
    const parameters = { path: modelPath('slow.onnx'), options: { instances: 2 } };
    expect((await post(`${url}/v2/repository/models/model/load`, { parameters })).status).toBe(200);
    expect(await (await fetch(`${url}/v2/models/model/config`)).json()).toMatchObject({
      instance_group: [{ count: 2 }],
    });
    const client = await connectFrames(socket);
    const order: number[] = [];
    const run = (steps: number) => client.send('POST', INFER, slow(steps)).then(() => order.push(steps));
    await Promise.all([run(8000), run(1), run(2), run(3)]);
    expect(order).toEqual([1, 2, 3, 8000]);
  });

  it('ends when it gives up on what still computes', async () => {
    const { child, socket, exited } = await startRuntime(['--model', modelPath('slow.onnx'), '--drain-ms', '20']);
    const client = await connectFrames(socket);
    const running = client.send('POST', INFER, slow(2_000_000));
    running.catch(() => {});
    // told while it computes: the answer to this comes after the inference began
    await client.send('GET', '/v2/health/live');
    child.kill('SIGTERM');
    expect(await exited).toBe(0);
    await expect(running).rejects.toThrow();
  });
});

describe('loading and unloading', () => {
  it.skipIf(!existsSync('/proc/self/status'))('gives a model’s memory back', async () => {
    const path = join(folder, 'wide.onnx');
    const [rows, columns] = [1024, 2048];
    writeFileSync(
      path,
      onnxModel({
        inputs: { x: tensor(1, ['n', rows]) },
        outputs: { y: tensor(1, ['n', columns]) },
        nodes: [{ op: 'MatMul', inputs: ['x', 'w'], outputs: ['y'] }],
        initializers: [
          { name: 'w', elementType: 1, shape: [rows, columns], data: Buffer.alloc(rows * columns * 4, 1) },
        ],
      }),
    );
    const { child, url } = await startRuntime([]);
    const cycle = async () => {
      const parameters = { path, options: { warmup: [{ rows: 4 }] } };
      expect((await post(`${url}/v2/repository/models/w/load`, { parameters })).status).toBe(200);
      expect((await post(`${url}/v2/repository/models/w/unload`, {})).status).toBe(200);
    };
    const residentMb = () =>
      Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1]) / 1024;
    for (let warm = 0; warm < 3; warm++) await cycle();
    const before = residentMb();
    for (let times = 0; times < 25; times++) await cycle();
    // 8 MB each: what stays would be 200 MB
    expect(residentMb() - before).toBeLessThan(80);
  });
});
