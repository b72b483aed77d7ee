import { describe, expect, it } from 'vitest';
import { loadConfig } from './config.js';
import { settingsSchema } from './config-schema.js';
import { readArgs } from './runtimes/args.js';

function problemsOf(env: Record<string, string>): string {
  try {
    loadConfig(env);
  } catch (error) {
    expect(error).toMatchObject({ code: 'invalid' });
    return (error as Error).message;
  }
  throw new Error('nothing was refused');
}

describe('loadConfig', () => {
  it('works with an empty environment, and with empty values', () => {
    const bare = loadConfig({});
    expect(bare).toMatchObject({
      host: '127.0.0.1',
      port: 8080,
      spares: 1,
      adminKey: undefined,
      databaseUrl: undefined,
    });
    const empty = Object.fromEntries(Object.keys(settingsSchema.shape).map((key, at) => [key, ' '.repeat(at % 2)]));
    expect({ ...loadConfig(empty), training: undefined }).toEqual({ ...bare, training: undefined });
  });

  it('finds folders below the home', () => {
    const config = loadConfig({ HOME: '/home/ada', SLUICE_DATA_DIR: '~/data', SLUICE_CACHE_DIR: '~' });
    expect(config).toMatchObject({
      dataDir: '/home/ada/data',
      cacheDir: '/home/ada',
      blobsUrl: '/home/ada/data/blobs',
    });
    expect(loadConfig({ HOME: '/home/ada', SLUICE_DATA_DIR: '/var/~x' }).dataDir).toBe('/var/~x');
  });

  it('tells all problems at once, each with its key and value', () => {
    const words = problemsOf({
      SLUICE_PORT: '70000',
      SLUICE_LOG_LEVEL: 'loud',
      SLUICE_SPARES: '-1',
      SLUICE_DRAIN_SEC: 'x',
    });
    for (const part of [
      'SLUICE_PORT="70000"',
      'SLUICE_LOG_LEVEL="loud"',
      'SLUICE_SPARES="-1"',
      'SLUICE_DRAIN_SEC="x"',
    ]) {
      expect(words).toContain(part);
    }
    expect(words.split('\n').length).toBe(5);
  });

  it.each([
    { why: 'half a port', env: { SLUICE_PORT: '80.5' } },
    { why: 'an endless time', env: { SLUICE_PREDICT_TIMEOUT_SEC: 'Infinity' } },
    { why: 'a time beyond what timers can count', env: { SLUICE_PREDICT_TIMEOUT_SEC: '3000000' } },
    { why: 'no time', env: { SLUICE_API_TIMEOUT_SEC: '0' } },
    { why: 'a queue without a place: nothing could ever wake from zero', env: { SLUICE_QUEUE_LIMIT: '0' } },
    { why: 'a drain that a model server would refuse', env: { SLUICE_DRAIN_SEC: '4000' } },
    { why: 'a body limit that a model server would refuse', env: { SLUICE_BODY_LIMIT_MB: '4096' } },
    { why: 'a body limit that nothing fits', env: { SLUICE_BODY_LIMIT_MB: '0.0001' } },
  ])('refuses $why', ({ env }) => {
    expect(problemsOf(env)).toContain(Object.keys(env)[0]);
  });

  it.each([
    { SLUICE_DRAIN_SEC: '0.0005', SLUICE_BODY_LIMIT_MB: '0.0009765625' },
    { SLUICE_DRAIN_SEC: '1.2345678', SLUICE_BODY_LIMIT_MB: '1.23456789' },
    { SLUICE_DRAIN_SEC: '3600', SLUICE_BODY_LIMIT_MB: '3800' },
  ])('gives a model server only what it can read: %j', (env) => {
    const { limits } = loadConfig(env);
    const argv = ['--socket', 's', '--drain-ms', String(limits.drainMs), '--max-body-bytes', String(limits.bodyBytes)];
    expect(readArgs(argv)).toMatchObject({ drainMs: limits.drainMs, maxBodyBytes: limits.bodyBytes });
  });

  it('prints nothing secret', () => {
    const words = problemsOf({
      SLUICE_ADMIN_KEY: 'hunter2',
      DATABASE_URL: 'postgres://user:pa55@host/db',
      REDIS_URL: 'redis://:pa55@host',
      AWS_SECRET_ACCESS_KEY: 'pa55',
      AWS_SESSION_TOKEN: 'pa55',
      SLUICE_PORT: 'x',
    });
    expect(words).toContain('SLUICE_ADMIN_KEY=(hidden)');
    expect(words).not.toMatch(/hunter2|pa55/);
  });

  it('hands only what is harmless on to scripts', () => {
    const { baseEnv } = loadConfig({
      PATH: '/bin',
      HOME: '/root',
      LC_ALL: 'C',
      PIP_INDEX_URL: 'https://pypi',
      SLUICE_ADMIN_KEY: 'k'.repeat(16),
      DATABASE_URL: 'postgres://x',
      AWS_ACCESS_KEY_ID: 'id',
      AWS_SECRET_ACCESS_KEY: 'secret',
      MY_TOKEN: 'x',
      XPATH: 'no',
    }).training;
    expect(baseEnv).toEqual({ PATH: '/bin', HOME: '/root', LC_ALL: 'C', PIP_INDEX_URL: 'https://pypi' });
  });
});

describe('settingsSchema', () => {
  it.each(Object.entries(settingsSchema.shape))('%s is documented in a sentence', (_key, entry) => {
    expect(entry.description).toMatch(/^[A-Zj].{15,}\.$/);
  });
});
