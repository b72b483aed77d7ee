/** Models, endpoints and traffic from the command line, against the gateway. */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { startChatServer } from '../../tests/support/chat-server.js';
import { type CliGateway, cliGateway } from '../../tests/support/cli-gateway.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const fixture = (name: string) => join(root, 'tests/fixtures/models', name);
let cli: CliGateway['cli'];
let gateway: CliGateway['gateway'];
let puts: CliGateway['puts'];
let write: CliGateway['write'];

beforeAll(async () => {
  ({ cli, gateway, puts, write } = await cliGateway());
});

describe('models', () => {
  it('pushes once, however often', async () => {
    const before = puts();
    const first = await cli([
      'models',
      'push',
      fixture('digits.onnx'),
      '--name',
      'digits',
      '--metric',
      'accuracy=0.98',
    ]);
    expect(first).toMatchObject({ code: 0, err: '' });
    expect(first.out).toMatch(/^digits version 1 registered: X FP32\[-1, 64\] -> /);
    const again = await cli(['models', 'push', fixture('digits.onnx'), '--name', 'digits', '--quiet']);
    expect(again).toEqual({ code: 0, out: '1\n', err: '' });
    expect(puts() - before).toBe(1);
    const parts = await cli(['models', 'push', fixture('external'), '--name', 'parts', '--json']);
    expect(JSON.parse(parts.out)).toMatchObject({ model: 'parts', version: 1 });
  });

  it('registers a server of somebody else', async () => {
    const chat = await startChatServer();
    onTestFinished(() => chat.close());
    const text = 'readyPath: /health\nprotocols: [openai]\nmodelName: org/chat\n';
    const file = write('server.yaml', `url: ${chat.url}\n${text}`);
    const pushed = await cli(['models', 'push', '--server', file, '--name', 'chat']);
    expect(pushed).toEqual({ code: 0, out: 'chat version 1 registered\n', err: '' });
    const { version } = JSON.parse((await cli(['models', 'push', '--server', file, '--name', 'chat', '--json'])).out);
    const shown = await gateway.call('admin', 'GET', `/api/v1/models/chat/versions/${version}`);
    expect(await shown.json()).toMatchObject({ server: { protocols: ['openai'], modelName: 'org/chat' } });
    const gone = write('gone.yaml', `url: http://127.0.0.1:9\nstartTimeoutSec: 1\n${text}`);
    expect(await cli(['models', 'push', '--server', gone, '--name', 'gone'])).toMatchObject({ code: 1 });
    const wrong = await cli(['models', 'push', '--server', write('wrong.yaml', 'uri: x\n'), '--name', 'chat']);
    expect(wrong).toMatchObject({ code: 1, err: expect.stringContaining('uri') });
    expect(await cli(['models', 'push', '--name', 'chat'])).toMatchObject({ code: 2 });
  });

  it("refuses what does not load, in the engine's words", async () => {
    const refused = await cli(['models', 'push', fixture('corrupt.onnx'), '--name', 'bad']);
    expect(refused).toMatchObject({ code: 1, out: '' });
    expect(refused.err).toMatch(/^sluice: .*(protobuf|load)/i);
  });

  it('lists and shows, exactly as the API says with --json', async () => {
    expect((await cli('models list')).out).toMatch(/^model +versions +created +description\n(.*\n)*digits +1 +/);
    const shown = await cli('models show digits');
    expect(shown.out).toMatch(/^model +digits\n/);
    expect(shown.out).toContain('accuracy=0.98');
    const json = await cli('models show digits --json');
    const direct = await gateway.call('admin', 'GET', '/api/v1/models/digits');
    expect(json.out).toBe(`${await direct.text()}\n`);
    expect(await cli('models show nothing')).toMatchObject({ code: 5, err: 'sluice: there is no model "nothing"\n' });
  });

  it('moves aliases and shows where they were', async () => {
    expect((await cli(['models', 'alias', 'set', 'digits', 'champion', 'latest', '--reason', 'first one'])).out).toBe(
      'digits@champion points at version 1\n',
    );
    expect((await cli('models alias history digits champion')).out).toMatch(/(now|ago) +- +1 +ada +first one/);
    expect(await cli('models alias set digits champion nobody')).toMatchObject({ code: 2 });
    expect(await cli('models alias delete digits champion --json')).toEqual({ code: 0, out: '', err: '' });
  });
});

describe('endpoints and traffic', () => {
  it('creates, shows, lists', async () => {
    const file = write('endpoint.yaml', 'scaling:\n  minReplicas: 1\n');
    const made = await cli([
      'endpoints',
      'create',
      'live',
      '--model',
      'digits',
      '--version',
      'latest',
      '-f',
      file,
      '--max-replicas',
      '3',
      '--no-auto',
    ]);
    expect(made).toMatchObject({ code: 0, err: '' });
    const json = JSON.parse((await cli('endpoints show live --json')).out) as {
      scaling: object;
      policy: object;
      traffic: object;
    };
    expect(json).toMatchObject({
      scaling: { minReplicas: 1, maxReplicas: 3 },
      policy: { auto: false },
      traffic: [{ revision: 1, percent: 100 }],
    });
    expect((await cli('endpoints show live')).out).toMatch(/traffic +1=100 %\n[\s\S]*revision +model version/);
    expect((await cli('endpoints list')).out).toMatch(/live +digits +key +1=100 %/);
    expect(await cli('endpoints create live --model digits')).toMatchObject({
      code: 1,
      err: expect.stringContaining('live'),
    });
    expect(await cli('endpoints create other')).toMatchObject({ code: 2, err: expect.stringContaining('--model') });
  });

  it('sets traffic and tells what was in force', async () => {
    await gateway.call('admin', 'POST', '/api/v1/endpoints/live/revisions', { version: 1 });
    const set = await cli(['traffic', 'set', 'live', '1=90', '2=10:canary', '--reason', 'try it']);
    expect(set).toEqual({ code: 0, out: 'traffic of live is now 1=90 %, 2=10 % (canary) (generation 2)\n', err: '' });
    const shown = await cli('traffic show live');
    expect(shown.out).toMatch(/revision +percent +tag\n +1 +90 +-\n +2 +10 +canary\n/);
    expect(shown.out).toContain('try it');
    expect((await cli(['traffic', 'show', 'live', '--at', new Date().toISOString()])).out).toMatch(/reason +try it/);
    expect(await cli('traffic show live --at 2h')).toMatchObject({ code: 5 });
    expect(await cli('traffic set live 1=90')).toMatchObject({
      code: 2,
      err: 'sluice: percents must add up to 100, not 90\n',
    });
    expect(await cli('traffic set live 9=100')).toMatchObject({ code: expect.toSatisfy((code: number) => code !== 0) });
  });

  it('starts a promotion', async () => {
    const started = await cli('rollouts start live --version 1 --quiet');
    expect(started.out).toMatch(/^pr_\w+\n$/);
    expect(gateway.queued.at(-1)).toMatchObject({ name: 'promotion.decide' });
    expect(await cli('rollouts pause live')).toMatchObject({
      code: 5,
      err: expect.stringContaining('no rollout under way'),
    });
    expect((await cli('rollouts list')).err).toContain('no rollouts yet');
    expect((await cli('promotions list --endpoint live')).out).toMatch(/pr_\w+ +live +1 +pending/);
    const id = started.out.trim();
    expect((await cli(`promotions show ${id}`)).out).toMatch(/model +digits, version 1[\s\S]*state +pending/);
    expect((await cli('promotions request live --version latest --quiet')).out).toBe(started.out);
    const early = await cli(['promotions', 'approve', id, '--comment', 'fine']);
    expect(early).toMatchObject({ code: 1, err: expect.stringContaining('does not wait for approval: it is pending') });
    await gateway.db
      .updateTable('promotions')
      .set({ state: 'awaiting_approval', approval: JSON.stringify({ kind: 'one', expirySec: 60 }) })
      .execute();
    expect((await cli(['promotions', 'reject', id, '--comment', 'unfair'])).out).toBe(`${id} is rejected\n`);
    expect((await cli(`promotions show ${id}`)).out).toMatch(/reject +.* +unfair/);
    expect((await cli('models card digits latest')).out).toContain('# digits, version 1');
  });

  it('makes hooks and revokes them', async () => {
    const made = await cli('promotions hooks create live --name ci --quiet');
    expect(made.out).toMatch(/^http.*\/api\/v1\/hooks\/hk_[\w-]{40}\n$/);
    const listed = await cli('promotions hooks list live');
    const [id = ''] = /hk_\w+/.exec(listed.out) ?? [];
    expect(listed.out).toMatch(/ci +hk_\S{4}… +\S.* +0 +never/);
    expect((await cli(`promotions hooks rotate live ${id} --quiet`)).out).not.toBe(made.out);
    expect((await cli(`promotions hooks revoke live ${id}`)).code).toBe(0);
    expect((await cli('promotions hooks list live')).err).toContain('it has none');
  });
});
