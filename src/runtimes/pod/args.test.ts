import { describe, expect, it } from 'vitest';
import { readPodArgs } from './args.js';

describe('arguments of a pod', () => {
  it('may all come from the environment of its container', () => {
    const env = { SLUICE_PODS_URL: 'http://gateway/', PORT: '9000', UV_THREADPOOL_SIZE: '8' };
    expect(readPodArgs([], env)).toMatchObject({
      podsUrl: 'http://gateway',
      http: { host: '0.0.0.0', port: 9000 },
      poolThreads: 8,
      tokenFile: '/var/run/sluice/token',
      models: '/models',
      cacheBytes: undefined,
    });
  });

  it('given count for more', () => {
    const argv = ['--pods-url', 'https://other', '--http', '[::]:1', '--pool-threads', '2', '--option', 'device=cuda'];
    const env = { SLUICE_PODS_URL: 'http://gateway', PORT: '9000', UV_THREADPOOL_SIZE: '8' };
    expect(readPodArgs(argv, env)).toMatchObject({
      podsUrl: 'https://other',
      http: { host: '::', port: 1 },
      poolThreads: 2,
      options: { device: 'cuda' },
    });
  });

  it.each([
    [[], '--pods-url is missing'],
    [['--pods-url', 'gateway'], '--pods-url is "gateway"'],
    [['--pods-url', 'http://g', '--cache-bytes', 'much'], '--cache-bytes is "much"'],
    [['--pods-url', 'http://g', '--nonsense'], '--nonsense'],
  ])('%j are refused', (argv, message) => {
    expect(() => readPodArgs(argv, {})).toThrow(message);
  });
});
