import { join } from 'node:path';
import type { Config } from '../config.js';
import type { BlobsOptions } from '../platform/blobs/open.js';

/** How the settings open the blob store. */
export function blobsOptions(config: Config): BlobsOptions {
  return {
    cacheFolder: join(config.cacheDir, 'blobs'),
    ...(config.s3Credentials ? { credentials: config.s3Credentials } : {}),
  };
}
