/** Feedback and webhooks from the command line, against the gateway. */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, expect, it } from 'vitest';
import { type CliGateway, cliGateway } from '../../tests/support/cli-gateway.js';

const digits = join(fileURLToPath(new URL('../..', import.meta.url)), 'tests/fixtures/models/digits.onnx');
let cli: CliGateway['cli'];
let gateway: CliGateway['gateway'];

beforeAll(async () => {
  ({ cli, gateway } = await cliGateway());
  await cli(['models', 'push', digits, '--name', 'digits']);
  const body = { name: 'digits', model: 'digits', version: 1, routing: { feedback: {} } };
  expect((await gateway.call('admin', 'POST', '/api/v1/endpoints', body)).status).toBe(201);
});

it('reports one answer, or many, and shows what they add up to', async () => {
  const one = ['feedback', 'send', 'digits', '--revision', '1', '--id', 'a', '--reward', '0.5'];
  expect(await cli(one)).toEqual({ code: 0, out: '1 counted\n', err: '' });
  expect(await cli(one)).toMatchObject({ out: '0 counted, 1 were known\n' });
  const lines = '{"revision":1,"reward":1}\n\n{"revision":1,"label":3,"prediction":3}\n';
  expect(await cli('feedback send digits --input -', lines)).toMatchObject({ out: '2 counted\n' });
  const shown = await cli('feedback show digits');
  expect(shown.out).toMatch(/1 +2 +0\.75 \(0\.\d+ to 1\) +1 +1 \(/);
  expect(await cli('feedback send digits --input -', 'x')).toMatchObject({ code: 2 });
  expect((await cli('feedback send digits --revision 1 --reward 1.7')).err).toContain('Expected a number from 0 to 1');
  expect((await cli('feedback send digits --reward 1')).err).toContain('does not say which revision answered');
});

it('adds, lists, stops and removes webhooks', async () => {
  const { out } = await cli(['webhooks', 'add', 'https://example.com/hook', '--kind', 'rollout.*', '--quiet']);
  const id = out.trim();
  expect((await cli('webhooks list')).out).toContain('https://example.com/hook');
  expect(await cli(`webhooks disable ${id}`)).toMatchObject({ code: 0, out: `${id} is disabled\n` });
  expect(await cli(`webhooks test ${id}`)).toMatchObject({ code: 1 });
  expect(await cli(`webhooks enable ${id}`)).toMatchObject({ code: 0 });
  // no worker is here to post it
  expect((await cli(`webhooks test ${id} --wait 0`)).err).toContain('was not posted within 0 s');
  expect((await cli(`webhooks deliveries ${id}`)).err).toContain('nothing was posted');
  expect(await cli(`webhooks delete ${id}`)).toMatchObject({ code: 0 });
  expect((await cli(`webhooks delete ${id}`)).code).toBe(5);
});
