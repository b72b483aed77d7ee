import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { recordOf } from '../../../tests/support/tensorflow.js';
import { crc32c } from './crc32c.js';
import { readRecords } from './records.js';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-records-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function recordsOf(bytes: Buffer): Promise<Buffer[]> {
  const path = join(folder, 'records');
  await writeFile(path, bytes);
  const records: Buffer[] = [];
  for await (const record of readRecords(path)) records.push(record);
  return records;
}

describe('crc32c', () => {
  // RFC 3720, appendix B.4
  it.each([
    ['zeros', Buffer.alloc(32), 0x8a9136aa],
    ['ones', Buffer.alloc(32, 0xff), 0x62a8ab43],
    ['rising', Buffer.from(Array.from({ length: 32 }, (_, at) => at)), 0x46dd794e],
    ['falling', Buffer.from(Array.from({ length: 32 }, (_, at) => 31 - at)), 0x113fdb5c],
    ['text', Buffer.from('123456789'), 0xe3069283],
  ])('of %s', (_what, bytes, crc) => {
    expect(crc32c(bytes)).toBe(crc);
  });
});

describe('readRecords', () => {
  const two = Buffer.concat([recordOf(Buffer.from('first')), recordOf(Buffer.alloc(0))]);

  it('reads records in order, empty ones too', async () => {
    expect(await recordsOf(two)).toEqual([Buffer.from('first'), Buffer.alloc(0)]);
    expect(await recordsOf(Buffer.alloc(0))).toEqual([]);
  });

  const flipped = (at: number) => {
    const copy = Buffer.from(two);
    copy.writeUInt8(copy.readUInt8(at) ^ 1, at);
    return copy;
  };
  it.each([
    ['cut within a head', two.subarray(0, 26), 'record 2: the file ends within it'],
    ['cut within its bytes', two.subarray(0, 15), 'record 1: the file ends within it'],
    ['cut within its checksum', two.subarray(0, 20), 'record 1: the file ends within it'],
    ['another length', flipped(0), 'record 1: the checksum of its length is wrong'],
    ['another byte', flipped(13), 'record 1: its checksum is wrong'],
    ['another checksum', flipped(34), 'record 2: its checksum is wrong'],
  ])('names the record of a file with %s', async (_what, bytes, message) => {
    await expect(recordsOf(bytes)).rejects.toMatchObject({ code: 'invalid', message });
  });
});
