import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { readSettings, wantsColour } from './settings.js';
import { VERSION } from './version.js';

const folder = mkdtempSync(join(tmpdir(), 'sluice-settings-'));
writeFileSync(join(folder, 'admin-key'), 'sk_of_the_folder\n');
afterAll(() => rmSync(folder, { recursive: true }));
const env = { SLUICE_DATA_DIR: folder, HOME: '/nowhere' };

describe('readSettings', () => {
  it('works with nothing set', () => {
    const found = readSettings({}, { HOME: '/nowhere' });
    expect(found).toMatchObject({ url: 'http://127.0.0.1:8080', key: undefined });
    expect(found.keyFrom).toContain('/nowhere/.sluice/admin-key cannot be read');
  });

  it('takes flags over the environment over the data folder', () => {
    expect(readSettings({}, env).key).toBe('sk_of_the_folder');
    expect(readSettings({}, { ...env, SLUICE_KEY: 'sk_env' }).key).toBe('sk_env');
    const both = { ...env, SLUICE_KEY: 'sk_env', SLUICE_URL: 'http://localhost:1' };
    expect(readSettings({ key: 'sk_flag', url: 'https://a.example/sluice/' }, both)).toMatchObject({
      key: 'sk_flag',
      url: 'https://a.example/sluice',
    });
  });

  it('finds the data folder below the home folder', () => {
    expect(readSettings({}, { HOME: join(folder, '..'), SLUICE_DATA_DIR: `~/${folder.split('/').at(-1)}` }).key).toBe(
      'sk_of_the_folder',
    );
  });

  it('sends the key of the data folder to this machine only', () => {
    for (const url of ['http://localhost:9', 'http://[::1]:9', 'http://127.0.0.2']) {
      expect(readSettings({ url }, env).key).toBe('sk_of_the_folder');
    }
    for (const url of ['http://10.0.0.1', 'http://127.0.0.1.example.com', 'https://sluice.example']) {
      expect(readSettings({ url }, env).key).toBeUndefined();
    }
  });

  it('refuses what is no URL or key', () => {
    expect(() => readSettings({}, { ...env, SLUICE_URL: 'localhost:8080' })).toThrow('SLUICE_URL is "localhost:8080"');
    expect(() => readSettings({ url: 'ftp://x' }, env)).toThrow('--url is "ftp://x"');
    expect(() => readSettings({ key: 'a b' }, env)).toThrow('--key is not a key');
  });
});

describe('wantsColour', () => {
  it('needs a terminal, and nobody against it', () => {
    expect([
      wantsColour(true, {}),
      wantsColour(false, {}),
      wantsColour(true, { NO_COLOR: '1' }),
      wantsColour(true, { TERM: 'dumb' }),
    ]).toEqual([true, false, false, false]);
  });
});

it('says the version of the package', () => {
  const manifest = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
    version: string;
  };
  expect(VERSION).toBe(manifest.version);
});
