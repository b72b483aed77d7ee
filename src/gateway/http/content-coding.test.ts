import { deflateSync, gunzipSync, gzipSync, inflateSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { answerCoding, decodeBody, encodeBody } from './content-coding.js';

const text = Buffer.from('{"inputs":[]}'.repeat(100));

describe('decodeBody', () => {
  it('unpacks gzip and deflate, and leaves identity alone', async () => {
    expect(await decodeBody(gzipSync(text), 'gzip', 10_000)).toEqual(text);
    expect(await decodeBody(gzipSync(text), ' X-GZIP ', 10_000)).toEqual(text);
    expect(await decodeBody(deflateSync(text), 'deflate', 10_000)).toEqual(text);
    expect(await decodeBody(text, 'identity', 10_000)).toBe(text);
  });

  it('refuses what unpacks beyond the bound without unpacking it', async () => {
    const bomb = gzipSync(Buffer.alloc(50_000_000));
    await expect(decodeBody(bomb, 'gzip', 1_000_000)).rejects.toMatchObject({ code: 'too_large' });
  });

  it('refuses what is not in that coding, is cut off, or has a coding that nobody knows', async () => {
    const invalid = { code: 'invalid' };
    await expect(decodeBody(text, 'gzip', 10_000)).rejects.toMatchObject(invalid);
    await expect(decodeBody(gzipSync(text).subarray(0, 20), 'gzip', 10_000)).rejects.toMatchObject(invalid);
    await expect(decodeBody(text, 'br', 10_000)).rejects.toMatchObject(invalid);
  });
});

describe('answerCoding', () => {
  it('compresses large answers for who accepts it', async () => {
    expect(answerCoding('gzip, deflate', 100_000)).toBe('gzip');
    expect(answerCoding('deflate', 100_000)).toBe('deflate');
    expect(answerCoding('gzip;q=0, deflate;q=0.5', 100_000)).toBe('deflate');
    expect(answerCoding('br', 100_000)).toBeUndefined();
    expect(answerCoding(undefined, 100_000)).toBeUndefined();
    expect(gunzipSync(await encodeBody(text, 'gzip'))).toEqual(text);
    expect(inflateSync(await encodeBody(text, 'deflate'))).toEqual(text);
  });

  it('leaves small ones alone', () => {
    expect(answerCoding('gzip', 1000)).toBeUndefined();
  });
});
