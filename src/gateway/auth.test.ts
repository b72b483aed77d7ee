import { describe, expect, test } from 'vitest';
import { presentedKey } from './auth.js';

const basic = (pair: string) => `Basic ${Buffer.from(pair).toString('base64')}`;

describe('presentedKey', () => {
  const rows = [
    { name: 'bearer', authorization: 'Bearer sk_1', apiKey: undefined, key: 'sk_1' },
    { name: 'the scheme in any case', authorization: 'bearer   sk_1 ', apiKey: undefined, key: 'sk_1' },
    { name: 'X-API-Key', authorization: undefined, apiKey: 'sk_2', key: 'sk_2' },
    { name: 'Authorization before X-API-Key', authorization: 'Bearer sk_1', apiKey: 'sk_2', key: 'sk_1' },
    { name: 'basic: the password', authorization: basic('mlflow:sk_3'), apiKey: undefined, key: 'sk_3' },
    { name: 'basic: a password with colons', authorization: basic('me:a:b'), apiKey: undefined, key: 'a:b' },
    { name: 'basic without a user', authorization: basic(':sk_3'), apiKey: undefined, key: 'sk_3' },
    { name: 'another scheme', authorization: 'Digest x', apiKey: undefined, key: undefined },
    { name: 'a bare word', authorization: 'sk_1', apiKey: undefined, key: undefined },
    { name: 'nothing', authorization: undefined, apiKey: undefined, key: undefined },
  ];
  test.each(rows)('$name', ({ authorization, apiKey, key }) => {
    expect(presentedKey({ authorization, apiKey })).toBe(key);
  });
});
