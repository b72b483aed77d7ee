import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { mlp } from '../support/mlp.js';
import { rowsOf } from '../support/predictions.js';
import { differs, expectedAnswer, readAnswer } from './answer.js';

const ANSWER = { labels: [4], probabilities: [0.25, 0.75] };
const answered = (body: unknown, headers: Readonly<Record<string, string>> = {}, status = 200) => ({
  status,
  headers,
  body: Buffer.isBuffer(body) ? body : Buffer.from(JSON.stringify(body)),
});

describe('readAnswer', () => {
  it("reads the protocol's JSON, flat or nested", () => {
    const outputs = [
      { name: 'probabilities', data: [[0.25, 0.75]] },
      { name: 'label', data: [4] },
    ];
    expect(readAnswer('json', answered({ outputs }))).toEqual(ANSWER);
  });

  it('reads rows', () => {
    expect(readAnswer('rows', answered({ label: [4], probabilities: [[0.25, 0.75]] }))).toEqual(ANSWER);
  });

  it('reads binary tensors, and refuses JSON in their place', () => {
    const label = Buffer.alloc(8);
    label.writeBigInt64LE(4n);
    const raws = [label, Buffer.from(Float32Array.from([0.25, 0.75]).buffer)];
    const outputs = ['label', 'probabilities'].map((name, at) => ({
      name,
      parameters: { binary_data_size: raws[at]?.length },
    }));
    const head = Buffer.from(JSON.stringify({ outputs }));
    const headers = { 'inference-header-content-length': String(head.length) };
    expect(readAnswer('binary', answered(Buffer.concat([head, ...raws]), headers))).toEqual(ANSWER);
    const plain = answered({ outputs: [{ name: 'label', data: [4] }] });
    expect(() => readAnswer('binary', plain)).toThrow('output label is not binary');
  });

  it('says what a server answered instead', () => {
    expect(() => readAnswer('json', answered({ error: 'no such model' }, {}, 404))).toThrow(/404: .*no such model/);
  });
});

describe('differs', () => {
  it('allows for rounding, and for nothing else', () => {
    expect(differs({ labels: [4], probabilities: [0.25001, 0.74999] }, ANSWER)).toBeUndefined();
    expect(differs({ labels: [3], probabilities: [0.25, 0.75] }, ANSWER)).toBe('labels[0] is 3, not 4');
    expect(differs({ labels: [4], probabilities: [0.3, 0.7] }, ANSWER)).toBe('probabilities[0] is 0.3, not 0.25');
    expect(differs({ labels: [4], probabilities: [] }, ANSWER)).toBe('0 probabilities, not 2');
    expect(differs({ labels: [4], probabilities: [Number.NaN, 0.75] }, ANSWER)).toMatch(/NaN/);
  });
});

describe('expectedAnswer', () => {
  let folder = '';
  afterAll(async () => {
    if (folder !== '') await rm(folder, { recursive: true });
  });

  it('is what the model says', async () => {
    folder = await mkdtemp(join(tmpdir(), 'sluice-answer-'));
    const model = join(folder, 'm.onnx');
    await writeFile(model, mlp([8]));
    const answer = await expectedAnswer(model, rowsOf(3));
    expect(answer.labels).toHaveLength(3);
    for (const [row, label] of answer.labels.entries()) {
      const own = answer.probabilities.slice(row * 10, row * 10 + 10);
      expect(own.reduce((sum, value) => sum + value, 0)).toBeCloseTo(1, 5);
      expect(own.indexOf(Math.max(...own))).toBe(label);
    }
  });
});
