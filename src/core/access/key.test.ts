import { describe, expect, it } from 'vitest';
import { hashKey, keyHint, newKey } from './key.js';

describe('keys', () => {
  it('are long, safe in headers and never the same', () => {
    const keys = Array.from({ length: 1000 }, newKey);
    for (const key of keys) expect(key).toMatch(/^sk_[A-Za-z0-9_-]{40}$/);
    expect(new Set(keys).size).toBe(1000);
    expect(new Set(keys.map(hashKey)).size).toBe(1000);
  });

  it('hash to the same each time, and a hint gives next to nothing away', () => {
    const key = newKey();
    expect(hashKey(key)).toBe(hashKey(key));
    expect(hashKey(key)).toMatch(/^[0-9a-f]{64}$/);
    expect(hashKey(key)).not.toContain(key.slice(3));
    expect(keyHint(key)).toBe(`${key.slice(0, 7)}…`);
  });
});
