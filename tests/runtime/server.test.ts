import { statSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import { connectFrames, inferBody, modelPath, startRuntime, stopRuntimes } from '../support/runtime.js';

afterEach(stopRuntimes);

const post = (url: string, body: string | Buffer = '', headers: Record<string, string> = {}) =>
  fetch(url, { method: 'POST', body, headers });
const slow = (steps: number) => inferBody('steps', 'INT64', [], [steps]);
const digits = inferBody('X', 'FP32', [1, 64], new Array(64).fill(1), 'id-1');

describe('a model server', () => {
  it('as a spare is live, not ready, and takes a model over', async () => {
    const { url } = await startRuntime();
    expect((await fetch(`${url}/v2/health/live`)).status).toBe(200);
    expect((await fetch(`${url}/v2/health/ready`)).status).toBe(503);
    expect((await post(`${url}/v2/models/m/infer`, digits)).status).toBe(404);
    const parameters = { path: modelPath('digits.onnx'), version: '3', options: { intraOpNumThreads: 1 } };
    expect((await post(`${url}/v2/repository/models/m/load`, JSON.stringify({ parameters }))).status).toBe(200);
    expect(await (await fetch(`${url}/v2/health/ready`)).json()).toEqual({ ready: true, live: true });
    expect(await (await fetch(`${url}/v2/models/m/versions/3`)).json()).toEqual({
      name: 'm',
      versions: ['3'],
      platform: 'onnx_onnxv1',
      inputs: [{ name: 'X', datatype: 'FP32', shape: [-1, 64] }],
      outputs: [
        { name: 'label', datatype: 'INT64', shape: [-1] },
        { name: 'probabilities', datatype: 'FP32', shape: [-1, 10] },
      ],
      properties: { device: 'cpu' },
    });
    expect(await (await post(`${url}/v2/models/m/versions/3/infer`, digits)).json()).toMatchObject({
      model_name: 'm',
      model_version: '3',
      id: 'id-1',
      outputs: [{ name: 'label', shape: [1] }, { name: 'probabilities' }],
    });
    expect((await post(`${url}/v2/models/m/versions/4/infer`, digits)).status).toBe(404);
    expect(await (await fetch(`${url}/v2/models`)).json()).toEqual({ models: ['m'] });
    expect((await post(`${url}/v2/repository/models/m/load`)).status).toBe(200);
    expect(await (await post(`${url}/v2/repository/index`)).json()).toEqual([
      { name: 'm', version: '3', state: 'READY', reason: '' },
    ]);
    expect((await post(`${url}/v2/repository/models/m/unload`)).status).toBe(200);
    expect((await fetch(`${url}/v2/models/m/ready`)).status).toBe(404);
    expect((await fetch(`${url}/v2/health/ready`)).status).toBe(503);
  });

  it('keeps answering with the old model when a reload fails', async () => {
    const { url } = await startRuntime();
    const load = (name: string) =>
      post(`${url}/v2/repository/models/m/load`, JSON.stringify({ parameters: { path: modelPath(name) } }));
    expect((await load('digits.onnx')).status).toBe(200);
    const refused = await load('corrupt.onnx');
    expect([refused.status, await refused.json()]).toEqual([
      400,
      { error: expect.stringContaining('cannot load the model') },
    ]);
    expect((await post(`${url}/v2/models/m/infer`, digits)).status).toBe(200);
  });

  it('of a fixed model loads no other', async () => {
    const { url } = await startRuntime(['--model', modelPath('digits.onnx'), '--name', 'digits']);
    expect((await fetch(`${url}/v2/models/digits/ready`)).status).toBe(200);
    expect((await post(`${url}/v2/repository/models/digits/unload`)).status).toBe(403);
  });

  it.each([
    [
      'a wrong shape',
      'POST',
      '/v2/models/m/infer',
      inferBody('X', 'FP32', [1, 3], [1, 2, 3]),
      400,
      'the model takes [-1,64]',
    ],
    ['no JSON', 'POST', '/v2/models/m/infer', '{', 400, 'not JSON'],
    ['an unknown path', 'GET', '/v3', undefined, 404, 'nothing at GET /v3'],
    ['a wrong verb', 'GET', '/v2/models/m/infer', undefined, 404, 'nothing at GET'],
    ['a model that is not there', 'POST', '/v2/models/x/infer', digits, 404, 'model "x" is not loaded'],
    ['a body over the limit', 'POST', '/v2/models/m/infer', 'x'.repeat(5000), 413, 'over the limit of 4096 bytes'],
  ])('answers %s with a clear error', async (_reason, method, path, body, status, message) => {
    const { url } = await startRuntime([
      '--model',
      modelPath('digits.onnx'),
      '--name',
      'm',
      '--max-body-bytes',
      '4096',
    ]);
    const answer = await fetch(url + path, body === undefined ? { method } : { method, body });
    expect(answer.status).toBe(status);
    expect(await answer.json()).toEqual({ error: expect.stringContaining(message) });
  });

  it('counts what it answered', async () => {
    const { url } = await startRuntime(['--model', modelPath('gather.onnx'), '--name', 'g']);
    const row = (index: number) => post(`${url}/v2/models/g/infer`, inferBody('index', 'INT64', [1], [index]));
    expect([(await row(1)).status, (await row(9)).status]).toEqual([200, 500]);
    const text = await (await fetch(`${url}/metrics`)).text();
    expect(text).toContain('sluice_runtime_requests_total{model="g",status="200"} 1');
    expect(text).toContain('sluice_runtime_requests_total{model="g",status="500"} 1');
    expect(text).toContain('sluice_runtime_inference_seconds_bucket{le="0.0001",model="g"}');
    expect(text).toContain('sluice_runtime_in_flight 0');
  });

  it('tells its statistics, and what is configured', async () => {
    const { url } = await startRuntime(['--model', modelPath('digits.onnx'), '--name', 'm', '--version', '7']);
    for (let i = 0; i < 3; i++) await (await post(`${url}/v2/models/m/infer`, digits)).arrayBuffer();
    await (await post(`${url}/v2/models/m/infer`, inferBody('X', 'FP32', [1, 3], [1, 2, 3]))).arrayBuffer();
    const { model_stats } = (await (await fetch(`${url}/v2/models/m/stats`)).json()) as { model_stats: unknown[] };
    expect(model_stats).toMatchObject([
      {
        name: 'm',
        version: '7',
        inference_count: 3,
        execution_count: 3,
        inference_stats: {
          success: { count: 3 },
          fail: { count: 1 },
          queue: { count: 3 },
          compute_infer: { count: 3 },
        },
        batch_stats: [{ batch_size: 1, compute_infer: { count: 3 } }],
      },
    ]);
    expect(await (await fetch(`${url}/v2/models/stats`)).json()).toMatchObject({ model_stats: [{ name: 'm' }] });
    expect(await (await fetch(`${url}/v2/models/m/config`)).json()).toMatchObject({
      name: 'm',
      backend: 'onnx',
      max_batch_size: 32,
      input: [{ name: 'X', data_type: 'TYPE_FP32', dims: [64] }],
      dynamic_batching: { preferred_batch_size: [], max_queue_delay_microseconds: 0 },
    });
  });

  it('warms a model up before it is ready, and refuses one that cannot answer', async () => {
    const { url } = await startRuntime();
    const load = async (warmup: unknown) => {
      const parameters = { path: modelPath('digits.onnx'), options: { warmup } };
      const answer = await post(`${url}/v2/repository/models/m/load`, JSON.stringify({ parameters }));
      return [answer.status, await answer.json()];
    };
    expect(await load([{ rows: 4 }, JSON.parse(digits)])).toEqual([
      200,
      {
        ...{ library_ms: expect.any(Number), load_ms: expect.any(Number), warm_up_ms: expect.any(Number) },
        ...{ device: 'cpu', notes: [] },
      },
    ]);
    const wrong = { inputs: [{ name: 'X', datatype: 'FP32', shape: [1, 1], data: [1] }] };
    expect(await load([{ rows: 1 }, wrong])).toEqual([
      400,
      { error: expect.stringContaining('warmup[1] failed: input "X" has shape [1,1]') },
    ]);
    expect(await load([{ rows: 0 }])).toEqual([400, { error: expect.stringContaining('rows is 0') }]);
  });

  it('answers binary with binary', async () => {
    const { url } = await startRuntime(['--model', modelPath('identity-fp16.onnx')]);
    const json = JSON.stringify({
      parameters: { binary_data_output: true },
      inputs: [{ name: 'x', datatype: 'FP16', shape: [1, 2], parameters: { binary_data_size: 4 } }],
    });
    const bytes = Buffer.from([0, 0x3c, 0x12, 0x34]);
    const answer = await post(`${url}/v2/models/model/infer`, Buffer.concat([Buffer.from(json), bytes]), {
      'inference-header-content-length': String(json.length),
    });
    const body = Buffer.from(await answer.arrayBuffer());
    const length = Number(answer.headers.get('inference-header-content-length'));
    expect(JSON.parse(body.toString('utf8', 0, length)).outputs[0].parameters).toEqual({ binary_data_size: 4 });
    expect(body.subarray(length)).toEqual(bytes);
  });

  it('answers 1000 multiplexed requests in one burst, each with its own', async () => {
    const { socket } = await startRuntime(['--model', modelPath('add.onnx')]);
    expect(statSync(socket).mode & 0o777).toBe(0o600);
    const client = await connectFrames(socket);
    const row = (name: string, n: number) => ({ name, datatype: 'FP32', shape: [1, 2], data: [n, n] });
    const answers = await Promise.all(
      Array.from({ length: 1000 }, (_, n) =>
        client.send('POST', '/v2/models/model/infer', JSON.stringify({ inputs: [row('a', n), row('b', 1)] })),
      ),
    );
    answers.forEach(({ status, headers, body }, n) => {
      expect([status, headers['content-type']]).toEqual([200, 'application/json']);
      expect(JSON.parse(body.toString()).outputs[0].data).toEqual([n + 1, n + 1]);
    });
  });

  it('refuses one frame that is too large and answers the others of its connection', async () => {
    const args = ['--model', modelPath('digits.onnx'), '--name', 'm', '--max-body-bytes', '4096'];
    const client = await connectFrames((await startRuntime(args)).socket);
    const statuses = await Promise.all([
      client.send('POST', '/v2/models/m/infer', digits),
      client.send('POST', '/v2/models/m/infer', Buffer.alloc(200_000)),
      client.send('POST', '/v2/models/m/infer', digits),
    ]);
    expect(statuses.map((answer) => answer.status)).toEqual([200, 413, 200]);
  });

  it('does not run what was cancelled or whose client left before it started', async () => {
    const { socket, url } = await startRuntime(['--model', modelPath('slow.onnx')]);
    const [first, second] = [await connectFrames(socket), await connectFrames(socket)];
    const infer = '/v2/models/model/infer';
    const running = first.send('POST', infer, slow(1500));
    const started = performance.now();
    await new Promise((resolve) => setTimeout(resolve, 20));
    void first.send('POST', infer, slow(2_000_000)).catch(() => {});
    first.cancelLast();
    second.send('POST', infer, slow(2_000_000)).catch(() => {});
    await new Promise((resolve) => setTimeout(resolve, 5));
    second.socket.destroy();
    expect((await running).status).toBe(200);
    // a run of either would block the process for minutes
    expect((await post(url + infer, slow(1))).status).toBe(200);
    expect(performance.now() - started).toBeLessThan(15_000);
  });
});

describe('the end of a model server', () => {
  it('drains on SIGTERM: what is in flight is answered, then it exits 0', async () => {
    const { child, socket, url, exited } = await startRuntime(['--model', modelPath('slow.onnx')]);
    const client = await connectFrames(socket);
    const flying = Array.from({ length: 8 }, () => client.send('POST', '/v2/models/model/infer', slow(1000)));
    const overHttp = post(`${url}/v2/models/model/infer`, slow(1000));
    await flying[0];
    child.kill('SIGTERM');
    const statuses = (await Promise.all(flying)).map((answer) => answer.status);
    expect(statuses).toEqual(new Array(8).fill(200));
    expect((await overHttp).status).toBe(200);
    expect(await exited).toBe(0);
    await expect(fetch(url)).rejects.toThrow();
  });

  it('refuses new requests with 503 while it drains', async () => {
    const { child, socket, exited } = await startRuntime(['--model', modelPath('slow.onnx')]);
    const client = await connectFrames(socket);
    const flying = Array.from({ length: 6 }, () => client.send('POST', '/v2/models/model/infer', slow(1000)));
    await flying[0];
    child.kill('SIGTERM');
    await flying[1];
    await flying[2];
    const late = await client.send('POST', '/v2/models/model/infer', slow(1));
    const ready = await client.send('GET', '/v2/health/ready').catch(() => ({ status: 503 }));
    expect([late.status, late.headers['retry-after'], ready.status]).toEqual([503, '1', 503]);
    expect((await Promise.all(flying)).every((answer) => answer.status === 200)).toBe(true);
    expect(await exited).toBe(0);
  });

  it('gives up after the drain time', async () => {
    const { child, socket, exited } = await startRuntime(['--model', modelPath('slow.onnx'), '--drain-ms', '50']);
    const client = await connectFrames(socket);
    const flying = Array.from({ length: 500 }, () => client.send('POST', '/v2/models/model/infer', slow(300)));
    for (const answer of flying) answer.catch(() => {});
    await flying[0];
    child.kill('SIGTERM');
    expect(await exited).toBe(0);
    await expect(flying[499]).rejects.toThrow();
  });

  it('comes at once when its parent is gone, or on SIGINT', async () => {
    const orphan = await startRuntime();
    orphan.child.disconnect();
    expect(await orphan.exited).toBe(0);
    const interrupted = await startRuntime();
    interrupted.child.kill('SIGINT');
    expect(await interrupted.exited).toBe(130);
  });

  it('comes with a reason when it cannot start', async () => {
    await expect(startRuntime(['--model', modelPath('corrupt.onnx')])).rejects.toThrow(/cannot load the model/);
    await expect(startRuntime(['--threads', 'many'])).rejects.toThrow(/--threads is "many"/);
    await expect(startRuntime(['--socket', `/tmp/${'x'.repeat(200)}`])).rejects.toThrow(/bytes long/);
  });

  it('does not take the socket of one that lives, and takes that of one that died', async () => {
    const first = await startRuntime();
    await expect(startRuntime(['--socket', first.socket])).rejects.toThrow(/in use/);
    first.child.kill('SIGKILL');
    await first.exited;
    const second = await startRuntime(['--socket', first.socket]);
    const client = await connectFrames(first.socket);
    expect((await client.send('GET', '/v2/health/live')).status).toBe(200);
    expect(second.stderr()).not.toContain('error');
  });
});
