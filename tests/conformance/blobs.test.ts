import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Blobs } from '../../src/core/blobs.js';
import { openBlobs } from '../../src/platform/blobs/open.js';
import { startS3, type TestS3, whyNoS3 } from '../support/s3-server.js';

interface Store {
  /** Opens the same store again, with an empty cache of its own. */
  open(): Promise<Blobs>;
  /** Every file that the store holds where blobs are, by any name. */
  files(): Promise<string[]>;
  /** Overwrites a stored blob's bytes behind the store's back. */
  damage(hex: string): Promise<void>;
  close(): Promise<void>;
}

const noS3 = whyNoS3();
suite('blobs in a folder', false, folderStore);
suite(noS3 ? `blobs in S3 (skipped: ${noS3})` : 'blobs in S3', noS3 !== undefined, s3Store);

async function folderStore(): Promise<Store> {
  const folder = await mkdtemp(join(tmpdir(), 'sluice-blobs-'));
  return {
    open: () => openBlobs(folder, { cacheFolder: '/nowhere' }),
    files: () => filesUnder(folder),
    damage: async (hex) => {
      const path = join(folder, hex.slice(0, 2), hex.slice(2, 4), hex);
      await chmod(path, 0o644);
      await writeFile(path, 'damaged');
    },
    close: () => rm(folder, { recursive: true, force: true }),
  };
}

async function s3Store(): Promise<Store> {
  const server: TestS3 = await startS3();
  const caches = await mkdtemp(join(tmpdir(), 'sluice-blobs-'));
  const bucket = join(server.folder, 'models');
  await mkdir(bucket);
  const url = `s3://models/some/prefix?endpoint=${encodeURIComponent(server.endpoint)}&region=${server.region}`;
  let count = 0;
  return {
    open: () => openBlobs(url, { cacheFolder: join(caches, `${count++}`), credentials: server.credentials }),
    files: async () => (await filesUnder(bucket)).filter((file) => !file.includes('.sgwtmp')),
    damage: async (hex) => {
      const client = new S3Client({ ...server, forcePathStyle: true });
      await client.send(new PutObjectCommand({ Bucket: 'models', Key: `some/prefix/sha256/${hex}`, Body: 'damaged' }));
      client.destroy();
    },
    close: async () => {
      await server.stop();
      await rm(caches, { recursive: true, force: true });
    },
  };
}

async function filesUnder(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}

const digestOf = (bytes: Uint8Array) => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
const NONE = digestOf(Buffer.from('never stored'));

async function* chunks(bytes: Uint8Array, size = 64 * 1024): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function bytesOf(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of stream) parts.push(part);
  return Buffer.concat(parts);
}

function suite(name: string, skip: boolean, make: () => Promise<Store>): void {
  describe.skipIf(skip)(name, () => {
    let store: Store;
    let blobs: Blobs;
    beforeAll(async () => {
      store = await make();
      blobs = await store.open();
    }, 600_000);
    afterAll(() => store?.close());

    test.each([0, 1, 100_000, 20 * 1024 * 1024 + 17])('keeps %i bytes and gives them back', async (size) => {
      const bytes = randomBytes(size);
      expect(await blobs.put(chunks(bytes))).toEqual({ digest: digestOf(bytes), bytes: size });
      expect(await blobs.stat(digestOf(bytes))).toEqual({ bytes: size });
      expect((await bytesOf(await blobs.open(digestOf(bytes)))).equals(bytes)).toBe(true);
      const elsewhere = await store.open();
      expect((await readFile(await elsewhere.localPath(digestOf(bytes)))).equals(bytes)).toBe(true);
    });

    test('stores the same bytes once, also at the same time', async () => {
      const bytes = randomBytes(1000);
      const before = (await store.files()).length;
      await Promise.all(Array.from({ length: 8 }, () => blobs.put(chunks(bytes, 10))));
      await blobs.put(chunks(bytes));
      expect(await store.files()).toHaveLength(before + 1);
    });

    test('knows nothing of a blob that is not there', async () => {
      expect(await blobs.stat(NONE)).toBeUndefined();
      await expect(blobs.open(NONE)).rejects.toMatchObject({ code: 'not_found' });
      await expect(blobs.localPath(NONE)).rejects.toMatchObject({ code: 'not_found' });
      await blobs.delete(NONE);
    });

    test('forgets a blob that was deleted, and takes it again', async () => {
      const bytes = randomBytes(100);
      const { digest } = await blobs.put(chunks(bytes));
      await blobs.localPath(digest);
      await blobs.delete(digest);
      expect(await blobs.stat(digest)).toBeUndefined();
      await expect(blobs.open(digest)).rejects.toMatchObject({ code: 'not_found' });
      await expect(blobs.localPath(digest)).rejects.toMatchObject({ code: 'not_found' });
      expect((await blobs.put(chunks(bytes))).digest).toBe(digest);
      expect(await blobs.stat(digest)).toEqual({ bytes: 100 });
    });

    test('tells the digest before it looks whether the bytes are there, and keeps nothing when that fails', async () => {
      const bytes = randomBytes(100);
      await blobs.put(chunks(bytes));
      const told: string[] = [];
      await blobs.put(chunks(bytes), {
        onDigest: async (digest) => {
          told.push(digest);
          // whoever sweeps may have been quicker
          await blobs.delete(digest);
        },
      });
      expect(told).toEqual([digestOf(bytes)]);
      expect(await blobs.stat(digestOf(bytes))).toEqual({ bytes: 100 });
      const other = randomBytes(100);
      const onDigest = () => Promise.reject(new Error('not now'));
      await expect(blobs.put(chunks(other), { onDigest })).rejects.toThrow('not now');
      expect(await blobs.stat(digestOf(other))).toBeUndefined();
    });

    test.each(['', 'sha256:', '../../etc/passwd', `sha256:${'A'.repeat(64)}`, `md5:${'a'.repeat(64)}`])(
      'refuses the name %j',
      async (digest) => {
        for (const use of [blobs.open(digest), blobs.stat(digest), blobs.delete(digest), blobs.localPath(digest)]) {
          await expect(use).rejects.toMatchObject({ code: 'invalid' });
        }
        await expect(blobs.put(chunks(randomBytes(1)), { expect: digest })).rejects.toMatchObject({ code: 'invalid' });
      },
    );

    describe('a put that fails keeps nothing', () => {
      const refused = async (put: () => Promise<unknown>, bytes: Uint8Array, error: object) => {
        const before = (await store.files()).sort();
        await expect(put()).rejects.toMatchObject(error);
        expect(await blobs.stat(digestOf(bytes))).toBeUndefined();
        expect((await store.files()).sort()).toEqual(before);
      };

      test('when the bytes are others than expected, and names both', async () => {
        const bytes = randomBytes(100);
        await refused(() => blobs.put(chunks(bytes), { expect: NONE }), bytes, {
          code: 'invalid',
          message: `the bytes hash to ${digestOf(bytes)}, not to ${NONE}`,
        });
        expect(await blobs.stat(NONE)).toBeUndefined();
      });

      test('when there are too many, as soon as there are', async () => {
        const bytes = randomBytes(10_000);
        let given = 0;
        async function* counted() {
          for await (const chunk of chunks(bytes, 1000)) {
            given += chunk.length;
            yield chunk;
          }
        }
        await refused(() => blobs.put(counted(), { maxBytes: 2_500 }), bytes, {
          code: 'too_large',
          details: { maxBytes: 2_500 },
        });
        expect(given).toBe(3_000);
        expect((await blobs.put(chunks(bytes), { maxBytes: 10_000 })).bytes).toBe(10_000);
      });

      test('when the source fails', async () => {
        const bytes = randomBytes(5000);
        async function* failing() {
          yield* chunks(bytes, 1000);
          throw new Error('the upload broke off');
        }
        await refused(() => blobs.put(failing()), bytes, { message: 'the upload broke off' });
      });

      test('when it is aborted while the source gives nothing', async () => {
        const bytes = randomBytes(5000);
        const abort = new AbortController();
        async function* stuck() {
          yield* chunks(bytes, 1000);
          await new Promise(() => {});
        }
        setTimeout(() => abort.abort(), 50);
        await refused(() => blobs.put(stuck(), { signal: abort.signal }), bytes, { name: 'AbortError' });
        await refused(() => blobs.put(chunks(bytes), { signal: abort.signal }), bytes, { name: 'AbortError' });
      });
    });

    test('hands out read-only files', async () => {
      const { digest } = await blobs.put(chunks(randomBytes(10)));
      expect((await stat(await blobs.localPath(digest))).mode & 0o777).toBe(0o444);
    });

    test.skipIf(name === 'blobs in a folder')('does not hand out what was damaged', async () => {
      const bytes = randomBytes(1000);
      const { digest } = await blobs.put(chunks(bytes));
      await store.damage(digest.slice('sha256:'.length));
      const elsewhere = await store.open();
      await expect(elsewhere.localPath(digest)).rejects.toMatchObject({
        code: 'upstream_failed',
        message: expect.stringContaining('is damaged'),
      });
      expect(await blobs.stat(digest)).toEqual({ bytes: 7 });
    });

    test('fetches a blob once for many askers', async () => {
      const bytes = randomBytes(3_000_000);
      const { digest } = await blobs.put(chunks(bytes));
      const elsewhere = await store.open();
      const paths = await Promise.all(Array.from({ length: 10 }, () => elsewhere.localPath(digest)));
      expect(new Set(paths).size).toBe(1);
      expect((await readFile(paths[0] ?? '')).equals(bytes)).toBe(true);
    });
  });
}

describe('the folder', () => {
  test('is swept of what a dead put left more than a day ago, and of nothing younger', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'sluice-blobs-'));
    await mkdir(join(folder, 'tmp'));
    const [old, young] = [join(folder, 'tmp', 'old'), join(folder, 'tmp', 'young')];
    for (const file of [old, young]) await writeFile(file, 'half a blob');
    const past = new Date(Date.now() - 25 * 60 * 60 * 1000);
    await utimes(old, past, past);
    await openBlobs(`file://${folder}`, { cacheFolder: '' });
    expect(await filesUnder(folder)).toEqual([young]);
    await rm(folder, { recursive: true, force: true });
  });

  const small = smallDisk();
  test.skipIf(small === undefined)('says that the disk is full, and leaves nothing on it', async () => {
    const folder = small ?? '';
    try {
      const blobs = await openBlobs(join(folder, 'blobs'), { cacheFolder: '' });
      await expect(blobs.put(chunks(randomBytes(4_000_000)))).rejects.toMatchObject({
        code: 'not_ready',
        message: expect.stringContaining(join(folder, 'blobs')),
      });
      expect(await filesUnder(folder)).toEqual([]);
      const fits = randomBytes(100_000);
      expect((await blobs.put(chunks(fits))).digest).toBe(digestOf(fits));
    } finally {
      execFileSync('umount', [folder]);
      await rm(folder, { recursive: true, force: true });
    }
  });
});

/** A disk of one megabyte, where we may mount one. */
function smallDisk(): string | undefined {
  try {
    const folder = execFileSync('mktemp', ['-d'], { encoding: 'utf8' }).trim();
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'none', folder], { stdio: 'ignore' });
    return folder;
  } catch {
    return undefined;
  }
}

test.skipIf(noS3 !== undefined)(
  'the cache of a bucket stays within its size, and keeps what was used last',
  async () => {
    const server = await startS3();
    const cacheFolder = await mkdtemp(join(tmpdir(), 'sluice-blobs-'));
    await mkdir(join(server.folder, 'models'));
    const url = `s3://models?endpoint=${encodeURIComponent(server.endpoint)}&region=${server.region}`;
    const options = { cacheFolder, credentials: server.credentials, cacheMaxBytes: 250_000 };
    const blobs = await openBlobs(url, options);
    const digests: string[] = [];
    for (let n = 0; n < 4; n++) digests.push((await blobs.put(chunks(randomBytes(100_000)))).digest);
    // all four are too young to go
    expect(await filesUnder(cacheFolder)).toHaveLength(4);
    const past = new Date(Date.now() - 2 * 60 * 60 * 1000);
    for (const file of await filesUnder(cacheFolder)) await utimes(file, past, past);
    const used = await blobs.localPath(digests[0] ?? '');
    const later = await openBlobs(url, options);
    await later.put(chunks(randomBytes(10_000)));
    expect(await filesUnder(cacheFolder)).toContain(used);
    expect(await filesUnder(cacheFolder)).toHaveLength(3);
    for (const digest of digests) expect(await blobs.stat(digest)).toEqual({ bytes: 100_000 });
    await server.stop();
    await rm(cacheFolder, { recursive: true, force: true });
  },
);

describe('a bucket that does not work', () => {
  test('is named in the error', async () => {
    const cacheFolder = await mkdtemp(join(tmpdir(), 'sluice-blobs-'));
    const credentials = { accessKeyId: 'a', secretAccessKey: 'b' };
    const nowhere = await openBlobs('s3://models?endpoint=http://127.0.0.1:9', { cacheFolder, credentials });
    await expect(nowhere.stat(NONE)).rejects.toMatchObject({
      code: 'upstream_failed',
      message: expect.stringContaining('bucket models at http://127.0.0.1:9'),
    });
    await rm(cacheFolder, { recursive: true, force: true });
  });

  test.skipIf(noS3 !== undefined)(
    'that is missing or closed to us is told apart from a blob that is missing',
    async () => {
      const server = await startS3();
      const cacheFolder = await mkdtemp(join(tmpdir(), 'sluice-blobs-'));
      await mkdir(join(server.folder, 'models'));
      const at = (bucket: string) =>
        `s3://${bucket}?endpoint=${encodeURIComponent(server.endpoint)}&region=${server.region}`;
      const missing = await openBlobs(at('no-such-bucket'), { cacheFolder, credentials: server.credentials });
      const bytes = randomBytes(10);
      await expect(missing.put(chunks(bytes))).rejects.toMatchObject({ code: 'upstream_failed' });
      await expect(missing.open(digestOf(bytes))).rejects.toMatchObject({ code: 'upstream_failed' });
      const wrong = { ...server.credentials, secretAccessKey: 'wrong' };
      const closed = await openBlobs(at('models'), { cacheFolder, credentials: wrong });
      await expect(closed.stat(NONE)).rejects.toMatchObject({
        code: 'internal',
        message: expect.stringContaining('refuses'),
      });
      await server.stop();
      await rm(cacheFolder, { recursive: true, force: true });
    },
  );

  test.each(['s3://', 's3:///prefix', 'http://somewhere/bucket', 's3://bucket?regoin=eu'])(
    '%s is refused',
    async (url) => {
      await expect(openBlobs(url, { cacheFolder: '/nowhere' })).rejects.toMatchObject({ code: 'invalid' });
    },
  );
});
