/** Batch predictions from the command line, against the gateway; no worker runs here. */
import { existsSync, readFileSync } from 'node:fs';
import { Readable } from 'node:stream';
import { beforeAll, describe, expect, it } from 'vitest';
import { type CliGateway, cliGateway } from '../../tests/support/cli-gateway.js';
import { check, modelBytes } from '../../tests/support/scenario.js';

let cli: CliGateway['cli'];
let gateway: CliGateway['gateway'];
let write: CliGateway['write'];
let puts: CliGateway['puts'];

beforeAll(async () => {
  ({ cli, gateway, write, puts } = await cliGateway());
  const body = await modelBytes('linear.onnx');
  await check(gateway, { method: 'POST', url: '/models/linear/versions', body, status: 201 });
  await check(gateway, {
    method: 'POST',
    url: '/endpoints',
    body: { name: 'linear', model: 'linear', version: 1 },
    status: 201,
  });
});

const row = (id: string) =>
  gateway.db.selectFrom('batch_predictions').selectAll().where('id', '=', id).executeTakeFirstOrThrow();

async function succeed(id: string, content: string): Promise<void> {
  const { digest, bytes } = await gateway.services.blobs.put(Readable.from([Buffer.from(content)]));
  const result = { result_digest: digest, result_bytes: bytes, rows_total: 2, rows_done: 2 };
  const columns = { state: 'succeeded', started_at: new Date(), ended_at: new Date(), ...result } as const;
  await gateway.db.updateTable('batch_predictions').set(columns).where('id', '=', id).execute();
}

describe('batch', () => {
  it('submits a file with everything asked for; the same file is not sent twice', async () => {
    const file = write('rows.csv', 'a,b\n1,2\n');
    const words = ['batch', 'submit', file, '--endpoint', 'linear', '--column', 'id=a,b', '--keep', 'y', '-q'];
    const more = ['--output-format', 'jsonl', '--rows-per-request', '5', '--concurrency', '2', '--time-limit', '2h'];
    const sent = await cli([...words, ...more, '--on-error', 'null', '--name', 'night', '--revision', '1']);
    expect([sent.code, sent.err]).toEqual([0, '']);
    const { spec, name, revision } = await row(sent.out.trim());
    expect([name, revision]).toEqual(['night', 1]);
    expect(spec).toMatchObject({
      input: { format: 'csv', columns: { id: ['a', 'b'] } },
      output: { format: 'jsonl', outputs: ['y'] },
      rowsPerRequest: 5,
      concurrency: 2,
      timeLimitSec: 7200,
      onError: 'null',
    });
    const before = puts();
    const again = await cli([...words, '--idempotency-key', 'k']);
    expect((await cli([...words, '--idempotency-key', 'k'])).out).toBe(again.out);
    expect(puts()).toBe(before);
  });

  it('tells formats by the names of files, and asks where it cannot', async () => {
    const submit = (...words: string[]) => cli(['batch', 'submit', ...words, '--endpoint', 'linear', '-q']);
    const { out } = await submit(write('rows.ndjson', '1\n'));
    expect((await row(out.trim())).spec).toMatchObject({ input: { format: 'jsonl' }, output: { format: 'jsonl' } });
    const unknown = await submit(write('rows.txt', '1\n'));
    expect([unknown.code, unknown.err]).toEqual([2, expect.stringContaining('say what it is with --format')]);
    const odd = await submit(write('rows.csv', 'id\n1\n'), '--output', 'answers');
    expect([odd.code, odd.err]).toEqual([2, expect.stringContaining('--output-format')]);
    expect((await submit(write('none.csv', '')).catch(() => undefined))?.code).toBe(0);
    expect((await cli('batch submit nowhere.csv --endpoint linear')).code).toBe(2);
  });

  it('lists, shows, cancels, and brings the result whole or not at all', async () => {
    const { out } = await cli(['batch', 'submit', write('two.csv', 'id\n1\n2\n'), '--endpoint', 'linear', '-q']);
    const id = out.trim();
    expect((await cli('batch list --state queued')).out).toContain(id);
    const target = write('answers.csv', 'before');
    const early = await cli(['batch', 'download', id, '-o', target]);
    expect([early.code, readFileSync(target, 'utf8')]).toEqual([1, 'before']);
    await succeed(id, 'y\n3\n5\n');
    expect((await cli(`batch show ${id}`)).out).toMatch(/rows +2 of 2[\s\S]*result +2 rows, 6 B of csv/);
    expect((await cli(['batch', 'download', id, '-o', target])).code).toBe(0);
    expect(readFileSync(target, 'utf8')).toBe('y\n3\n5\n');
    expect((await cli(`batch cancel ${id}`)).out).toContain(`${id} is succeeded`);
    expect((await cli('batch show ba_none')).code).toBe(5);
    expect(existsSync('nowhere.csv')).toBe(false);
  });
});
