import { describe, expect, it } from 'vitest';
import { readNodeCacheArgs } from './args.js';

describe("arguments of a node's cache", () => {
  it('may all come from the environment of its container', () => {
    expect(readNodeCacheArgs([], { SLUICE_PODS_URL: 'http://gateway/', PORT: '9000' })).toEqual({
      podsUrl: 'http://gateway',
      http: { host: '0.0.0.0', port: 9000 },
      folder: '/cache',
      maxBytes: 20 * 2 ** 30,
      drainMs: 30_000,
      logLevel: 'info',
    });
  });

  it.each([
    [[], '--pods-url is missing'],
    [['--pods-url', 'http://g', '--max-bytes', 'much'], '--max-bytes is "much"'],
    [['--pods-url', 'http://g', '--nonsense'], '--nonsense'],
  ])('%j are refused', (argv, message) => {
    expect(() => readNodeCacheArgs(argv, {})).toThrow(message);
  });
});
