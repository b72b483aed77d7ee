/** Training from the command line, against the gateway. */
import { dirname, join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { cli as run } from '../../tests/support/cli.js';
import { type CliGateway, cliGateway } from '../../tests/support/cli-gateway.js';

let cli: CliGateway['cli'];
let env: CliGateway['env'];
let gateway: CliGateway['gateway'];
let write: CliGateway['write'];

beforeAll(async () => {
  ({ cli, env, gateway, write } = await cliGateway());
});

describe('train', () => {
  const code = () => {
    const folder = dirname(write('code/train.py', 'print(1)\n'));
    write('code/requirements.txt', 'numpy==2.0  # fast\n');
    return folder;
  };

  async function end(id: string, state: 'succeeded' | 'failed'): Promise<void> {
    await gateway.db
      .insertInto('job_logs')
      .values({ job_id: id, attempt: 1, stream: 'stdout', text: 'epoch 1' })
      .execute();
    await gateway.db
      .updateTable('jobs')
      .set({ state, reason: state === 'failed' ? 'exit code 3' : '', ended_at: new Date() })
      .where('id', '=', id)
      .execute();
  }

  it('submits a folder with everything asked for', async () => {
    const words = [
      'train',
      'submit',
      code(),
      '--model',
      'digits',
      '-p',
      'lr=0.1',
      '-p',
      'kind=mlp',
      '--require',
      'onnx',
      '--arg=-v',
      '--env',
      'A=b=c',
    ];
    const sent = await cli([
      ...words,
      '--memory',
      '1g',
      '--time-limit',
      '2m',
      '--retries',
      '0',
      '--idempotency-key',
      'k1',
    ]);
    expect(sent.code).toBe(0);
    const id = sent.out.split(' ')[0] ?? '';
    const job = JSON.parse((await cli(['train', 'show', id, '--json'])).out) as { spec: Record<string, unknown> };
    expect(job.spec).toMatchObject({
      name: 'digits',
      entrypoint: 'train.py',
      requirements: ['numpy==2.0', 'onnx'],
      params: { lr: 0.1, kind: 'mlp' },
      args: ['-v'],
      env: { A: 'b=c' },
      resources: { cpus: 1, memoryMb: 1024 },
      timeLimitSec: 120,
      retries: 0,
    });
    const again = await cli([
      ...words,
      '--memory',
      '1g',
      '--time-limit',
      '2m',
      '--retries',
      '0',
      '--idempotency-key',
      'k1',
    ]);
    expect(again.out).toContain(`${id} queued, submitted before`);
    expect(again.err).toContain('the gateway has it already');
    expect((await cli('train list --state queued')).out).toMatch(new RegExp(`${id} +digits +queued`));
    expect((await cli(['train', 'cancel', id])).out).toBe(`${id} is cancelled\n`);
  });

  it('follows a job to its end, and its exit code says which', async () => {
    const { out } = await cli(['train', 'submit', code(), '-q']);
    const id = out.trim();
    const following = cli(['train', 'logs', id, '--follow', '--json']);
    const waiting = cli(['train', 'wait', id]);
    setTimeout(() => void end(id, 'failed'), 300);
    expect(JSON.parse((await following).out)).toMatchObject({ text: 'epoch 1', stream: 'stdout' });
    expect(await waiting).toMatchObject({
      code: 6,
      err: expect.stringContaining(`${id} ended as failed: exit code 3`),
    });
    expect((await cli(['train', 'logs', id])).out).toBe('epoch 1\n');
    const good = (await cli(['train', 'submit', join(code(), 'train.py'), '-q'])).out.trim();
    await end(good, 'succeeded');
    expect((await cli(['train', 'wait', good])).code).toBe(0);
  });

  it('leaves a job alone when the person leaves', async () => {
    const stop = new AbortController();
    const ran = run(['train', 'submit', code(), '--follow'], { env, signal: stop.signal });
    setTimeout(() => stop.abort(), 1000);
    expect(await ran).toMatchObject({ code: 130, err: expect.stringContaining('goes on without you') });
  });

  it('says what is missing before anything is sent', async () => {
    expect(await cli(['train', 'submit', join(code(), 'none')])).toMatchObject({ code: 2 });
    expect(await cli(['train', 'submit', code(), '--entrypoint', 'x.py'])).toMatchObject({
      code: 2,
      err: expect.stringContaining('no script x.py'),
    });
  });
});
