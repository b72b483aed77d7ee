import { describe, expect, it } from 'vitest';
import { choice, positive } from './options.js';

describe('options', () => {
  it('takes positive numbers only', () => {
    expect(positive('seconds', '0.5')).toBe(0.5);
    for (const text of ['0', '-1', 'two', '']) expect(() => positive('seconds', text)).toThrow(/--seconds must be/);
  });

  it('chooses by name, in the order of the list', () => {
    const all = ['a', 'b', 'c'].map((name) => ({ name }));
    expect(choice('only', undefined, all)).toEqual(all);
    expect(choice('only', 'c,a', all)).toEqual([{ name: 'a' }, { name: 'c' }]);
    expect(() => choice('only', 'a,x', all)).toThrow('--only: there is no "x"; there are: a, b, c');
  });
});
