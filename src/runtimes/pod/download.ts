/** One file of a model, from the gateway or where that points to, onto this machine: whole and right, or not at all. */
import { createHash } from 'node:crypto';
import { type FileHandle, open, rm } from 'node:fs/promises';
import { AppError, messageOf } from '../../errors.js';
import { writeWhole } from './blob-files.js';
import type { Gateway, ModelFile } from './gateway.js';
import { away } from './http-get.js';

/** How often bytes that hash to something else are fetched again before the file counts as damaged where it is kept. */
const DAMAGED_AT_MOST = 3;

/** Writes the file's bytes to `path`, which must not exist; goes on where a connection broke. Leaves nothing on failure. */
export async function download(gateway: Gateway, file: ModelFile, path: string): Promise<void> {
  const handle = await open(path, 'wx', 0o444);
  try {
    for (let damaged = 1; ; damaged++) {
      const digest = await fetchInto(gateway, file, handle);
      if (digest === file.digest) return;
      if (damaged < DAMAGED_AT_MOST) continue;
      throw new AppError(
        'invalid',
        `${file.path} is damaged where it is kept: its bytes hash to ${digest}, not to ${file.digest}`,
        {
          details: { path: file.path, digest, expected: file.digest },
        },
      );
    }
  } catch (error) {
    await rm(path, { force: true });
    throw error;
  } finally {
    await handle.close();
  }
}

/** Fetches all bytes, in as many goes as it takes; answers what they hash to. */
async function fetchInto(gateway: Gateway, file: ModelFile, handle: FileHandle): Promise<string> {
  let hash = createHash('sha256');
  let bytes = 0;
  await gateway.patiently(file.path, async () => {
    const answer = await gateway.blob(file.digest, bytes);
    if (answer.statusCode !== 206) {
      // from the beginning, whatever was asked for
      hash = createHash('sha256');
      bytes = 0;
    }
    try {
      for await (const chunk of answer as AsyncIterable<Buffer>) {
        if (bytes + chunk.length > file.bytes) return;
        hash.update(chunk);
        await writeWhole(handle, chunk, bytes).catch((error) => {
          throw cannotWrite(error);
        });
        bytes += chunk.length;
      }
    } catch (error) {
      throw error instanceof AppError ? error : away(`the source of ${file.path}`, error);
    }
    if (bytes < file.bytes)
      throw away(`the source of ${file.path}`, new Error(`it ended after ${bytes} of ${file.bytes} bytes`));
  });
  return `sha256:${hash.digest('hex')}`;
}

/** Nothing that passes by itself. */
function cannotWrite(error: unknown): AppError {
  return new AppError('invalid', `cannot write the model's files below --models: ${messageOf(error)}`, {
    cause: error,
  });
}
