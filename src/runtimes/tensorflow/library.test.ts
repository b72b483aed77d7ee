import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeBeside, writeSavedModel } from '../../../tests/support/tensorflow.js';
import { tensorflow } from './engine.js';

let folder: string;
let model: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-tf-library-'));
  model = await writeSavedModel(join(folder, 'model'), { signatures: {} });
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe('the TensorFlow engine without its library', () => {
  it.each([
    ['no folder', undefined, "TensorFlow's library is not installed on this machine"],
    ['an empty folder', tmpdir(), `there is no library of TensorFlow in "${tmpdir()}"`],
  ])('names the command that installs it: %s', async (_what, libraryPath, message) => {
    const loading = tensorflow.create({ libraryPath }).load({ path: model }, {});
    await expect(loading).rejects.toMatchObject({
      code: 'not_ready',
      message: `${message}: \`sluice engines install tensorflow\` installs it`,
    });
  });

  it('says in words why a library cannot be loaded, and tries again the next time', async () => {
    const place = join(folder, 'no-library');
    await writeBeside(place, 'tensorflow/libtensorflow_cc.so.2', Buffer.from('not an ELF file'));
    for (let time = 0; time < 2; time++) {
      await expect(tensorflow.importLibrary({ libraryPath: place })).rejects.toMatchObject({
        code: 'not_ready',
        message: expect.stringMatching(/^TensorFlow's library ".*" cannot be loaded: .*(ELF|file)/),
      });
    }
  });

  it('lets no load choose the library', async () => {
    const loading = tensorflow.create({}).load({ path: model }, { libraryPath: folder });
    await expect(loading).rejects.toMatchObject({ message: expect.stringContaining('is not installed') });
  });
});
