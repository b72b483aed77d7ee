/** The code of training jobs: uploaded archives, unpacked once each. */
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Blobs, Digest } from '../../core/blobs.js';
import { AppError, messageOf } from '../../errors.js';
import { exists } from '../exists.js';

const run = promisify(execFile);

/** Unpacks a tar.gz blob below `folder`, once; later calls answer the same folder. `invalid` when it is no such archive. */
export async function unpackCode(blobs: Blobs, digest: Digest, folder: string): Promise<string> {
  const target = join(folder, digest.replace(':', '-'));
  if (await exists(target)) return target;
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
      `the code archive ${digest} cannot be unpacked: ${messageOf(error).split('\n').slice(-2).join(' ')}`,
      { cause: error },
    );
  }
  return target;
}
