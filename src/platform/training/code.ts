/** Archives that others made, unpacked: the code of training jobs, and what their pods yielded. */
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import type { Blobs, Digest } from '../../core/blobs.js';
import { AppError, messageOf } from '../../errors.js';
import { exists } from '../exists.js';

const run = promisify(execFile);

/** Unpacks a tar.gz blob below `folder`, once; later calls answer the same folder. `invalid` when it is no such archive. */
export function unpackCode(blobs: Blobs, digest: Digest, folder: string): Promise<string> {
  return unpackBlob(blobs, digest, join(folder, digest.replace(':', '-')), 'code');
}

/** Unpacks a tar.gz blob as the folder `target`, unless it is there. `invalid` when it is no such archive. */
export async function unpackBlob(blobs: Blobs, digest: Digest, target: string, what: string): Promise<string> {
  if (await exists(target)) return target;
  const folder = dirname(target);
  await mkdir(folder, { recursive: true });
  const archive = await blobs.localPath(digest);
  const draft = await mkdtemp(join(folder, '.draft-'));
  try {
    // GNU and BSD tar both refuse or strip absolute names and `..`
    await run('tar', ['-xzf', archive, '-C', draft, '--no-same-owner', '--no-same-permissions']);
    await rename(draft, target);
  } catch (error) {
    await rm(draft, { recursive: true, force: true });
    if (await exists(target)) return target;
    throw new AppError(
      'invalid',
      `the ${what} archive ${digest} cannot be unpacked: ${messageOf(error).split('\n').slice(-2).join(' ')}`,
      { cause: error },
    );
  }
  return target;
}
