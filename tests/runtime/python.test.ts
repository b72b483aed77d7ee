/** Python models behind the model server's doors, and what becomes of their processes. */
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { isRunning } from '../../src/platform/processes.js';
import { eventually } from '../support/children.js';
import { modelFolder, pythonModel, pythonWithNumpy, removeModels } from '../support/python-models.js';
import { connectFrames, inferBody, startRuntime, stopRuntimes } from '../support/runtime.js';

const { python, missing } = await pythonWithNumpy();
afterEach(stopRuntimes);
afterAll(removeModels);

const start = (model: string, ...args: string[]) =>
  startRuntime(['--engine', 'python', '--model', pythonModel(model), '--option', `python=${python}`, ...args]);
const post = (url: string, body: string | Buffer, headers: Record<string, string> = {}) =>
  fetch(url, { method: 'POST', body, headers });
const say = (words: string) => inferBody('do', 'BYTES', [1], [words]);
const sum = JSON.stringify({
  inputs: [
    { name: 'a', datatype: 'FP32', shape: [1, 2], data: [1, 2] },
    { name: 'b', datatype: 'FP32', shape: [1, 2], data: [3, 4] },
  ],
});

async function pidBehind(url: string, words: string): Promise<number> {
  const answer = (await (await post(`${url}/v2/models/model/infer`, say(words))).json()) as {
    outputs: { data: number[] }[];
  };
  return answer.outputs[0]?.data[0] ?? 0;
}

describe.skipIf(missing)('a model server of Python models', () => {
  it('answers with metadata, JSON and binary tensors', async () => {
    const { url } = await start('add');
    expect(await (await fetch(`${url}/v2/models/model`)).json()).toMatchObject({
      platform: 'python',
      inputs: [{ name: 'a', datatype: 'FP32', shape: [-1, 2] }, { name: 'b' }],
      outputs: [{ name: 'sum', datatype: 'FP32', shape: [-1, 2] }],
    });
    expect(await (await post(`${url}/v2/models/model/infer`, sum)).json()).toMatchObject({
      outputs: [{ name: 'sum', datatype: 'FP32', shape: [1, 2], data: [4, 6] }],
    });
    const tensor = { datatype: 'FP32', shape: [1, 2], parameters: { binary_data_size: 8 } };
    const json = JSON.stringify({
      parameters: { binary_data_output: true },
      inputs: ['a', 'b'].map((name) => ({ name, ...tensor })),
    });
    const body = Buffer.concat([Buffer.from(json), Buffer.from(Float32Array.of(1, 2, 3, 4).buffer)]);
    const answer = await post(`${url}/v2/models/model/infer`, body, {
      'inference-header-content-length': String(json.length),
    });
    const headerLength = Number(answer.headers.get('inference-header-content-length'));
    const bytes = Buffer.from(await answer.arrayBuffer()).subarray(headerLength);
    expect([bytes.readFloatLE(0), bytes.readFloatLE(4)]).toEqual([4, 6]);
  });

  it('checks what the signature says, and takes anything of a model without one', async () => {
    const { url } = await start('add');
    const refused = await post(`${url}/v2/models/model/infer`, inferBody('a', 'FP32', [1, 3], [1, 2, 3]));
    expect([refused.status, await refused.json()]).toEqual([
      400,
      { error: expect.stringContaining('the model takes [-1,2]') },
    ]);
    const { url: open } = await start('echo');
    expect(await (await fetch(`${open}/v2/models/model`)).json()).toMatchObject({ inputs: [], outputs: [] });
    const inputs = [{ name: 'x', datatype: 'INT8', shape: [2], data: [1, -1] }];
    expect(await (await post(`${open}/v2/models/model/infer`, JSON.stringify({ inputs }))).json()).toMatchObject({
      outputs: inputs,
    });
    const unknown = await post(`${open}/v2/models/model/infer`, JSON.stringify({ inputs, outputs: [{ name: 'y' }] }));
    expect([unknown.status, await unknown.json()]).toEqual([
      400,
      { error: 'the model has no output "y"; it gave "x"' },
    ]);
  });

  it('as a spare loads a Python model, and tells why it cannot', async () => {
    const { url } = await startRuntime();
    const load = (path: string) =>
      post(
        `${url}/v2/repository/models/m/load`,
        JSON.stringify({ parameters: { path, framework: 'python', options: { python } } }),
      );
    expect((await load(pythonModel('add'))).status).toBe(200);
    expect((await post(`${url}/v2/models/m/infer`, sum)).status).toBe(200);
    const broken = await load(modelFolder({ 'model.py': 'import nowhere' }));
    expect([broken.status, await broken.json()]).toEqual([
      400,
      { error: expect.stringContaining("No module named 'nowhere'") },
    ]);
    expect((await post(`${url}/v2/models/m/infer`, sum)).status).toBe(200);
    expect((await post(`${url}/v2/repository/models/m/unload`, '')).status).toBe(200);
  });

  it('answers as many at once as it has workers, and joins requests where the model says so', async () => {
    const { url } = await start('moody', '--option', 'workers=2');
    const pids = await Promise.all([pidBehind(url, 'sleep 0.3'), pidBehind(url, 'sleep 0.3')]);
    expect(new Set(pids).size).toBe(2);
    const { socket } = await start('add');
    const client = await connectFrames(socket);
    const rows = Array.from({ length: 100 }, (_, at) => at);
    const answers = await Promise.all(
      rows.map(async (at) => {
        const tensor = { datatype: 'FP32', shape: [1, 2], data: [at, 1] };
        const inputs = ['a', 'b'].map((name) => ({ name, ...tensor }));
        const answer = await client.send('POST', '/v2/models/model/infer', JSON.stringify({ inputs }));
        return (JSON.parse(answer.body.toString()) as { outputs: { data: number[] }[] }).outputs[0]?.data;
      }),
    );
    expect(answers).toEqual(rows.map((at) => [2 * at, 2]));
    const stats = JSON.parse((await client.send('GET', '/v2/models/model/stats')).body.toString());
    expect(stats.model_stats[0].execution_count).toBeLessThan(rows.length);
  });

  it('keeps what models print off its channel, and logs it', async () => {
    const { url, stderr } = await start('moody', '--log-level', 'debug');
    expect(stderr()).toContain('loading in');
    expect((await post(`${url}/v2/models/model/infer`, say('fail'))).status).toBe(500);
    await eventually(() => stderr().includes('Traceback'));
  });

  it('answers 502 for the request that ended the process, and the next one', async () => {
    const { url } = await start('moody');
    const died = await post(`${url}/v2/models/model/infer`, say('die'));
    expect([died.status, await died.json()]).toEqual([502, { error: expect.stringContaining('last words') }]);
    expect((await post(`${url}/v2/models/model/infer`, say('wait'))).status).toBe(200);
  });

  it.each(['SIGTERM', 'SIGKILL'] as const)('leaves no process behind after %s', async (signal) => {
    const { url, child, exited } = await start('moody', '--option', 'workers=2');
    const pids = [await pidBehind(url, 'pid')];
    if (signal === 'SIGTERM') pids.push(await pidBehind(url, 'child'));
    child.kill(signal);
    await exited;
    await eventually(() => !pids.some(isRunning));
  });

  it('leaves no process behind that is busy when it is killed', async () => {
    const { url, child, socket, exited } = await start('moody');
    const pid = await pidBehind(url, 'pid');
    const client = await connectFrames(socket);
    const lost = client.send('POST', '/v2/models/model/infer', say('sleep 600'));
    expect((await client.send('GET', '/v2/health/live')).status).toBe(200);
    child.kill('SIGKILL');
    await expect(lost).rejects.toThrow();
    await exited;
    await eventually(() => !isRunning(pid));
  });

  it('lets the request in flight finish before it ends', async () => {
    const { url, child, socket, exited } = await start('moody');
    await pidBehind(url, 'pid');
    const client = await connectFrames(socket);
    const answer = client.send('POST', '/v2/models/model/infer', say('sleep 0.3'));
    expect((await client.send('GET', '/v2/health/live')).status).toBe(200);
    child.kill('SIGTERM');
    expect((await answer).status).toBe(200);
    expect(await exited).toBe(0);
  });
});
