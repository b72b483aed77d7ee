import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Files } from '../../src/core/files.js';
import { openBlobs, openFiles } from '../../src/platform/blobs/open.js';
import { startS3, whyNoS3 } from '../support/s3-server.js';

interface Store {
  readonly files: Files;
  /** What is left of drafts on this machine. */
  leftovers(): Promise<string[]>;
  close(): Promise<void>;
}

const noS3 = whyNoS3();
suite('files in a folder', false, folderStore);
suite(noS3 ? `files in S3 (skipped: ${noS3})` : 'files in S3', noS3 !== undefined, s3Store);

async function folderStore(): Promise<Store> {
  const folder = await mkdtemp(join(tmpdir(), 'sluice-files-'));
  // beside blobs, as it is used
  await openBlobs(folder, { cacheFolder: '/nowhere' });
  return {
    files: openFiles(`file://${folder}`, { cacheFolder: '/nowhere' }),
    leftovers: () => readdir(join(folder, 'tmp')),
    close: () => rm(folder, { recursive: true, force: true }),
  };
}

async function s3Store(): Promise<Store> {
  const server = await startS3();
  await mkdir(join(server.folder, 'models'));
  const cacheFolder = await mkdtemp(join(tmpdir(), 'sluice-files-'));
  const url = `s3://models/some/prefix?endpoint=${encodeURIComponent(server.endpoint)}&region=${server.region}`;
  return {
    files: openFiles(url, { cacheFolder, credentials: server.credentials }),
    leftovers: () => readdir(join(cacheFolder, 'tmp')),
    close: async () => {
      await server.stop();
      await rm(cacheFolder, { recursive: true, force: true });
    },
  };
}

function suite(name: string, skip: boolean, make: () => Promise<Store>): void {
  describe.skipIf(skip)(name, () => {
    let store: Store;
    beforeAll(async () => {
      store = await make();
    }, 600_000);
    afterAll(() => store?.close());

    test('a file is seen when it is whole, under its name, and nothing is left beside it', async () => {
      const { files } = store;
      const draft = await files.create();
      await draft.append(Buffer.from('first '));
      expect(await files.list('log')).toEqual([]);
      await draft.append(Buffer.from('second'));
      await draft.publish('log/a/2.txt');
      expect(await files.list('log')).toEqual([{ name: 'log/a/2.txt', bytes: 12 }]);
      expect((await files.read('log/a/2.txt')).toString()).toBe('first second');
      expect(await store.leftovers()).toEqual([]);
    });

    test('lists a folder at any depth in the order of names, and no neighbour of a similar name', async () => {
      const { files } = store;
      for (const path of ['order/b/1', 'order/a/2', 'order/a/1', 'order-b/1']) {
        const draft = await files.create();
        await draft.append(Buffer.from(path));
        await draft.publish(path);
      }
      expect((await files.list('order')).map((file) => file.name)).toEqual(['order/a/1', 'order/a/2', 'order/b/1']);
      expect((await files.list('order/a')).map((file) => file.bytes)).toEqual([9, 9]);
      expect(await files.list('nothing/here')).toEqual([]);
    });

    test('a draft that is discarded leaves nothing', async () => {
      const draft = await store.files.create();
      await draft.append(Buffer.from('x'));
      await draft.discard();
      expect(await store.leftovers()).toEqual([]);
    });

    test('a file that is not there is not found, and no name leads out', async () => {
      await expect(store.files.read('log/none')).rejects.toMatchObject({ code: 'not_found' });
      for (const name of ['../x', 'a//b', '', 'a/../../b', '/etc/passwd']) {
        await expect(store.files.read(name)).rejects.toMatchObject({ code: 'invalid' });
      }
    });
  });
}
