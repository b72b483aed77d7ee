import { describe, expect, it } from 'vitest';
import { AppError } from '../../errors.js';
import { checkWebhookUrl, isPrivateAddress } from './address.js';
import { judge, RETRY_MS } from './send.js';
import { newSecret, signedHeaders } from './signature.js';

describe('signatures', () => {
  it("are those of the specification's own example", () => {
    // from the reference libraries of the Standard Webhooks specification
    const message = {
      id: 'msg_p5jXN8AQM9LWM0D4loKWxJek',
      timestampSec: 1614265330,
      body: '{"test": 2432232314}',
    };
    expect(signedHeaders('whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', message)).toEqual({
      'webhook-id': message.id,
      'webhook-timestamp': '1614265330',
      'webhook-signature': 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
    });
  });

  it('are made with secrets of 32 bytes, never the same', () => {
    const secrets = Array.from({ length: 100 }, newSecret);
    expect(new Set(secrets).size).toBe(100);
    for (const secret of secrets) expect(Buffer.from(secret.slice(6), 'base64').length).toBe(32);
  });
});

describe('addresses', () => {
  it.each([
    '127.0.0.1',
    '127.255.0.1',
    '0.0.0.0',
    '10.1.2.3',
    '172.16.0.1',
    '172.31.255.255',
    '192.168.1.1',
    '169.254.169.254',
    '100.64.0.1',
    '198.18.0.1',
    '224.0.0.1',
    '255.255.255.255',
    '::1',
    '::',
    '::ffff:127.0.0.1',
    '::ffff:a00:1',
    '::127.0.0.1',
    'fe80::1',
    'fd00::1',
    'ff02::1',
    '64:ff9b::7f00:1',
    '2002:7f00:1::',
    'nonsense',
  ])('%s is private', (address) => {
    expect(isPrivateAddress(address)).toBe(true);
  });

  it.each(['8.8.8.8', '172.15.0.1', '172.32.0.1', '192.167.0.1', '2606:4700::1111', '::ffff:8.8.8.8'])(
    '%s is public',
    (address) => {
      expect(isPrivateAddress(address)).toBe(false);
    },
  );

  it.each([
    { url: 'nowhere', says: 'is none' },
    { url: 'file:///etc/passwd', says: 'neither http nor https' },
    { url: 'http://user:secret@example.com/', says: 'holds a password' },
    { url: 'http://localhost:9/', says: 'private address' },
    { url: 'http://0x7f.1/', says: 'private address' },
    { url: 'http://2130706433/', says: 'private address' },
    { url: 'http://[::ffff:127.0.0.1]/', says: 'private address' },
    { url: `https://example.com/${'a'.repeat(3000)}`, says: 'at most 2048' },
  ])('$url is refused at once', ({ url, says }) => {
    expect(() => checkWebhookUrl(url, false)).toThrow(says);
  });

  it('of the public, and where that is allowed of any, are taken', () => {
    expect(checkWebhookUrl('https://example.com/hook?a=1', false)).toBe('https://example.com/hook?a=1');
    expect(checkWebhookUrl('http://127.0.0.1:8000/', true)).toBe('http://127.0.0.1:8000/');
  });
});

describe('what an answer means', () => {
  const refused = new AppError('forbidden', 'private');
  const broken = new AppError('upstream_failed', 'reset');
  it.each([
    { answer: 200, attempt: 1, state: 'delivered' },
    { answer: 204, attempt: 9, state: 'delivered' },
    { answer: 301, attempt: 1, state: 'queued' },
    { answer: 410, attempt: 1, state: 'failed' },
    { answer: 500, attempt: 1, state: 'queued' },
    { answer: broken, attempt: 3, state: 'queued' },
    { answer: refused, attempt: 1, state: 'failed' },
    { answer: 500, attempt: RETRY_MS.length, state: 'queued' },
    { answer: 500, attempt: RETRY_MS.length + 1, state: 'failed' },
  ])('$answer at try $attempt: $state', ({ answer, attempt, state }) => {
    expect(judge(attempt, answer, 0.5).state).toBe(state);
  });

  it('comes again later and later, spread a little', () => {
    const waits = RETRY_MS.map((_, at) => judge(at + 1, 500, 0).inMs);
    expect(waits).toEqual([...waits].sort((a, b) => a - b));
    expect(judge(1, 500, 0).inMs).toBe(4500);
    expect(judge(1, 500, 0.999).inMs).toBeLessThanOrEqual(5500);
  });
});
