/** The stock client of the protocol's authors, unchanged, against a real gateway. */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type GatewayProcess, startGatewayProcess } from '../support/gateway-process.js';
import { pythonWith } from '../support/python-environment.js';
import { modelPath } from '../support/runtime.js';

const PROGRAM = fileURLToPath(new URL('programs/tritonclient.py', import.meta.url));
const MODELS = ['digits', 'add', 'gather', 'identity-string', 'identity-int64', 'identity-fp16', 'identity-bool'];

/** What the program did, check by check: null when it held, else what it saw. */
type Report = Record<string, string | null>;

const found = await pythonWith(['tritonclient[http]>=2.50,<3']);
if ('missing' in found) console.warn(`tritonclient is not tested: ${found.missing}`);

describe.skipIf('missing' in found)('tritonclient[http]', () => {
  let gateway: GatewayProcess;
  let report: Report = {};

  beforeAll(async () => {
    gateway = await startGatewayProcess();
    for (const model of MODELS) {
      const version = await gateway.upload(model, await readFile(modelPath(`${model}.onnx`)));
      await gateway.serve(model, model, version, { access: model === 'add' ? 'public' : 'key' });
    }
    const python = 'python' in found ? found.python : '';
    const { stdout } = await promisify(execFile)(python, [PROGRAM, new URL(gateway.url).host, gateway.key], {
      timeout: 60_000,
    });
    report = JSON.parse(stdout) as Report;
  }, 120_000);

  afterAll(() => gateway?.stop());

  it.each([
    'server live, ready and metadata',
    'model ready and metadata',
    'repository index',
    'infer: JSON in, JSON out',
    'infer: JSON in, binary out',
    'infer: binary in, JSON out',
    'infer: binary in, binary out',
    'infer: only the requested output',
    'infer: all outputs when none is requested',
    'infer: many rows, large bodies',
    'infer: strings, JSON and binary',
    'infer: 64-bit integers beyond doubles, JSON and binary',
    'infer: half precision and booleans',
    'infer: request id comes back',
    'infer: a revision by its number',
    'infer: two inputs',
    'infer: asynchronous requests',
    'infer: gzip and deflate, both ways',
    'a public endpoint without a key',
    'error: wrong shape',
    'error: wrong datatype',
    'error: unknown model',
    'error: unknown revision',
    'error: unknown output',
    'error: missing key',
    'error: wrong key',
    'error: the model fails',
  ])('%s', (name) => {
    expect(report).toHaveProperty([name]);
    expect(report[name]).toBeNull();
  });

  it('is sent large answers packed, when it accepts that', async () => {
    const x = { name: 'X', shape: [2000, 64], datatype: 'FP32', data: new Array(128_000).fill(1) };
    const headers = { authorization: `Bearer ${gateway.key}`, 'accept-encoding': 'gzip' };
    const url = `${gateway.url}/v2/models/digits/infer`;
    const answer = await fetch(url, { method: 'POST', headers, body: JSON.stringify({ inputs: [x] }) });
    expect(answer.headers.get('content-encoding')).toBe('gzip');
    expect(await answer.json()).toMatchObject({
      outputs: [{ name: 'label', shape: [2000] }, { name: 'probabilities' }],
    });
  });

  it('checks nothing that is not listed here', () => {
    expect(Object.keys(report)).toHaveLength(27);
  });
});
