import { describe, expect, it } from 'vitest';
import { ByteLru } from './byte-lru.js';

const FOREVER = Number.MAX_SAFE_INTEGER;
const filled = (bytes: number) => Buffer.alloc(bytes, 1);

describe('values by key, bounded in bytes', () => {
  it('holds a copy, until its time is over', () => {
    const kept = new ByteLru(10_000);
    const value = Buffer.from('abc');
    kept.set('a', value, 1000);
    value.fill(0);
    expect(kept.get('a', 999)?.toString()).toBe('abc');
    expect(kept.get('a', 1000)).toBeUndefined();
    expect([kept.size, kept.bytes]).toEqual([0, 0]);
  });

  it('lets go what was used longest ago', () => {
    const kept = new ByteLru(5_000);
    for (const key of ['a', 'b', 'c']) kept.set(key, filled(1000), FOREVER);
    kept.get('a', 0);
    kept.set('d', filled(1000), FOREVER);
    expect(['a', 'b', 'c', 'd'].filter((key) => kept.get(key, 0))).toEqual(['a', 'c', 'd']);
  });

  it('counts keys and what an entry takes beside its value', () => {
    const kept = new ByteLru(2 ** 20);
    for (let i = 0; i < 100_000; i++) kept.set(`key ${i}`, Buffer.alloc(0), FOREVER);
    expect(kept.bytes).toBeLessThanOrEqual(2 ** 20);
    expect(kept.size).toBeLessThan(5_000);
    const before = kept.bytes;
    kept.set('k'.repeat(1000), Buffer.alloc(0), FOREVER);
    expect(kept.bytes).toBeLessThanOrEqual(2 ** 20);
    expect(before - kept.bytes).toBeLessThan(1000);
  });

  it('takes a newer value in place of the older one, and none that does not fit at all', () => {
    const kept = new ByteLru(2_000);
    kept.set('a', filled(1000), FOREVER);
    const { bytes } = kept;
    kept.set('a', filled(500), FOREVER);
    expect(kept.bytes).toBe(bytes - 500);
    kept.set('a', filled(3000), FOREVER);
    expect([kept.get('a', 0), kept.bytes]).toEqual([undefined, 0]);
  });

  it('forgets by key, and shrinks', () => {
    const kept = new ByteLru(10_000);
    for (const key of ['a1', 'b1', 'a2']) kept.set(key, filled(1000), FOREVER);
    kept.deleteWhere((key) => key.startsWith('a'));
    expect(kept.size).toBe(1);
    kept.resize(100);
    expect([kept.size, kept.bytes]).toEqual([0, 0]);
  });
});
