/** Batch predictions as a client has them: a table goes in, a table of as many rows comes out, whatever dies on the way. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Batch } from '../../src/cli/api-types.js';
import { eventually } from '../support/children.js';
import { cli } from '../support/cli.js';
import { canKill, type PlatformProcess, startPlatformProcess } from '../support/platform-process.js';

let platform: PlatformProcess;
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-batch-'));
  platform = await startPlatformProcess();
  await platform.serve('linear', 'linear.onnx');
  await platform.serve('add', 'add.onnx');
  await platform.serve('gather', 'gather.onnx');
  await platform.serve('four', 'four.onnx');
  await platform.serve('digits', 'digits.onnx');
}, 90_000);

afterAll(() => rm(folder, { recursive: true, force: true }));

const path = (name: string) => join(folder, name);
const sluice = (...words: string[]) => cli(words, { env: { SLUICE_URL: platform.url, SLUICE_KEY: platform.key } });

/** Predicts a file and answers what comes out. */
async function predict(name: string, content: string | Uint8Array, endpoint: string, ...more: string[]) {
  await writeFile(path(name), content);
  const out = path(`out-${name}`);
  const ran = await sluice('batch', 'submit', path(name), '--endpoint', endpoint, '--output', out, ...more);
  expect({ code: ran.code, err: ran.code === 0 ? '' : ran.err }).toEqual({ code: 0, err: '' });
  return readFile(out);
}

const lines = (count: number, line: (at: number) => string) =>
  Array.from({ length: count }, (_, at) => line(at)).join('');

describe('a batch prediction', () => {
  it('answers JSON Lines row by row', async () => {
    const answers = String(
      await predict(
        'rows.jsonl',
        lines(2500, (at) => `{"id":${at}}\n`),
        'linear',
      ),
    );
    expect(answers).toBe(lines(2500, (at) => `{"y":${2 * at + 1}}\n`));
  }, 60_000);

  it('answers CSV with columns by name, in requests of a size that is asked for', async () => {
    const rows = `more,b2,a1,a2,b1\n${lines(50, (at) => `x,1,${at},${at + 0.5},"2"\n`)}`;
    const mapping = ['--column', 'a=a1,a2', '--column', 'b=b1,b2', '--rows-per-request', '7', '--concurrency', '3'];
    const answers = String(await predict('rows.csv', rows, 'add', ...mapping));
    expect(answers).toBe(`sum_0,sum_1\n${lines(50, (at) => `${at + 2},${at + 1.5}\n`)}`);
  });

  it('keeps one output of a model as npy', async () => {
    const header = `id\n${lines(10, (at) => `${2n ** 60n + BigInt(at)}\n`)}`;
    const out = path('out.npy');
    await writeFile(path('ids.csv'), header);
    const ran = await sluice('batch', 'submit', path('ids.csv'), '--endpoint', 'linear', '-o', out, '--keep', 'y');
    expect(ran.code).toBe(0);
    const bytes = await readFile(out);
    const values = new BigInt64Array(new Uint8Array(bytes.subarray(-80)).buffer);
    expect([...values]).toEqual(Array.from({ length: 10 }, (_, at) => 2n * (2n ** 60n + BigInt(at)) + 1n));
  });

  it('fills the last request of a model that takes a fixed number of rows', async () => {
    const answers = String(
      await predict(
        'four.jsonl',
        lines(10, (at) => `[${at},${-at}]\n`),
        'four',
      ),
    );
    expect(answers).toBe(lines(10, (at) => `{"y":[${2 * at},${-2 * at}]}\n`));
  });

  it('of nothing is nothing', async () => {
    expect(String(await predict('none.jsonl', '\n \n', 'linear'))).toBe('');
    expect(String(await predict('none.csv', 'id\n', 'linear'))).toBe('y\n');
  });

  it('fails at the first row that cannot be read or predicted, with its line', async () => {
    const submit = async (name: string, content: string) => {
      await writeFile(path(name), content);
      return sluice('batch', 'submit', path(name), '--endpoint', 'gather', '--follow');
    };
    const unread = await submit('unread.jsonl', `${lines(20, () => '{"index":1}\n')}{"index":"x"}\n{"index":1.5}\n`);
    expect([unread.code, unread.err]).toEqual([6, expect.stringContaining('line 21: input "index": it is "x"')]);
    // the model has four rows to give
    const refused = await submit(
      'refused.jsonl',
      lines(300, (at) => `\n{"index":${at === 250 ? 9 : at % 4}}\n`),
    );
    expect([refused.code, refused.err]).toEqual([6, expect.stringMatching(/line 502: .*(9|bounds)/)]);
  });

  it('makes rows that fail null, and says why, where that is asked for', async () => {
    const bad = new Set([3, 17, 18, 99]);
    const rows = lines(120, (at) => (at === 50 ? 'oops\n' : `{"index":${bad.has(at) ? 100 + at : at % 4}}\n`));
    const answers = String(await predict('some.jsonl', rows, 'gather', '--on-error', 'null'))
      .trimEnd()
      .split('\n');
    expect(answers.length).toBe(120);
    answers.forEach((line, at) => {
      const { row, error } = JSON.parse(line) as { row: number[] | null; error?: string };
      const fails = bad.has(at) || at === 50;
      expect([row, typeof error]).toEqual(fails ? [null, 'string'] : [[2 * (at % 4), 2 * (at % 4) + 1], 'undefined']);
    });
    const { body } = await platform.client.get<{ batches: Batch[] }>('/api/v1/batch-predictions', {
      query: { limit: 1 },
    });
    expect(body.batches[0]).toMatchObject({ state: 'succeeded', rowsTotal: 120, rowsDone: 120, rowsBad: 5 });
  });

  it('says at once what cannot be, and in the end what cannot be done', async () => {
    await writeFile(path('x.csv'), 'a,b\n1,2\n');
    const none = await sluice('batch', 'submit', path('x.csv'), '--endpoint', 'nowhere');
    expect([none.code, none.err]).toEqual([5, expect.stringContaining('no endpoint "nowhere"')]);
    const width = await sluice('batch', 'submit', path('x.csv'), '--endpoint', 'digits', '--follow');
    expect([width.code, width.err]).toEqual([6, expect.stringContaining('takes 64 values a row; 2 columns')]);
    const two = await sluice('batch', 'submit', path('x.csv'), '--endpoint', 'add', '--follow');
    expect([two.code, two.err]).toEqual([
      6,
      expect.stringContaining('input "a" takes [2] a row, it is a single value'),
    ]);
  });

  it.skipIf(!canKill)(
    'goes on when the worker and the gateway are killed, and when it is asked to, stops',
    async () => {
      const count = 60_000;
      await writeFile(path('many.csv'), `id\n${lines(count, (at) => `${at}\n`)}`);
      const words = ['--endpoint', 'linear', '--rows-per-request', '100', '--concurrency', '2', '-q'];
      const submitted = await sluice('batch', 'submit', path('many.csv'), ...words);
      const id = submitted.out.trim();
      const show = async () => (await platform.client.get<Batch>(`/api/v1/batch-predictions/${id}`)).body;
      const reaches = (rows: number) =>
        eventually(
          async () => (await show().catch(() => undefined))?.rowsDone !== undefined && (await show()).rowsDone >= rows,
          60_000,
        );
      await reaches(1);
      platform.kill('worker');
      await reaches(20_001);
      platform.kill('gateway');
      await eventually(async () => (await show().catch(() => undefined))?.endedAt != null, 60_000);
      expect(await show()).toMatchObject({
        state: 'succeeded',
        rowsDone: count,
        rowsTotal: count,
        result: { rows: count },
      });
      expect((await sluice('batch', 'download', id, '-o', path('many.out'))).code).toBe(0);
      expect(String(await readFile(path('many.out')))).toBe(`y\n${lines(count, (at) => `${2 * at + 1}\n`)}`);

      const again = await sluice('batch', 'submit', path('many.csv'), ...words, '--name', 'again');
      await eventually(async () => {
        const { body } = await platform.client.get<Batch>(`/api/v1/batch-predictions/${again.out.trim()}`);
        return body.state === 'running';
      }, 30_000);
      await sluice('batch', 'cancel', again.out.trim());
      await eventually(async () => {
        const { body } = await platform.client.get<Batch>(`/api/v1/batch-predictions/${again.out.trim()}`);
        return body.state === 'cancelled';
      }, 30_000);
      const nothing = await sluice('batch', 'download', again.out.trim(), '-o', path('nothing'));
      expect([nothing.code, nothing.err]).toEqual([1, expect.stringContaining('is cancelled; it has no result')]);
    },
    180_000,
  );
});
