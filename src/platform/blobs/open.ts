import { fileURLToPath } from 'node:url';
import type { Blobs } from '../../core/blobs.js';
import type { Files } from '../../core/files.js';
import { AppError } from '../../errors.js';
import { FolderBlobs } from './folder.js';
import { FolderFiles } from './folder-files.js';
import { S3Blobs, type S3Options } from './s3.js';
import type { S3Location } from './s3-bucket.js';
import { S3Files } from './s3-files.js';

/** What a blob store needs besides its URL. */
export interface BlobsOptions {
  /** Where remote blobs are kept on this machine; not used by a folder. */
  readonly cacheFolder: string;
  /** How much of that is kept, in bytes; default 20 GiB. What was used within the last hour stays in any case. */
  readonly cacheMaxBytes?: number;
  /** For S3. Left out, the SDK looks for them itself. */
  readonly credentials?: S3Options['credentials'];
}

/**
 * Opens the blob store that the URL names: a folder (`/path`, `./path` or `file:///path`) or a bucket
 * (`s3://bucket/prefix?endpoint=http://host:port&region=name`; the region defaults to us-east-1). A bucket is not asked
 * for until it is used, so a wrong name shows at the first use. `invalid` for any other URL.
 */
export async function openBlobs(url: string, options: BlobsOptions): Promise<Blobs> {
  const folder = folderOf(url);
  if (folder !== undefined) return FolderBlobs.open(folder);
  return new S3Blobs({
    ...s3Location(url, options),
    cacheMaxBytes: options.cacheMaxBytes ?? 20 * 1024 ** 3,
    cache: await FolderBlobs.open(options.cacheFolder),
  });
}

/** Opens the files of the same store. */
export function openFiles(url: string, options: BlobsOptions): Files {
  const folder = folderOf(url);
  if (folder !== undefined) return new FolderFiles(folder);
  return new S3Files({ ...s3Location(url, options), cacheFolder: options.cacheFolder });
}

/** The folder that a URL names; undefined for one that names something else. */
function folderOf(url: string): string | undefined {
  if (url.startsWith('file://')) return fileURLToPath(url);
  return /^[a-z][a-z0-9+.-]*:\/\//i.test(url) ? undefined : url;
}

function s3Location(url: string, { credentials }: BlobsOptions): S3Location {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (parsed?.protocol !== 's3:' || parsed.hostname === '') {
    const form = 's3://bucket/prefix?endpoint=...&region=...';
    throw new AppError('invalid', `blobs are kept in a folder or in ${form}, not in ${JSON.stringify(url)}`);
  }
  for (const key of parsed.searchParams.keys()) {
    if (key !== 'endpoint' && key !== 'region') {
      throw new AppError(
        'invalid',
        `the blob URL has an unknown parameter ${JSON.stringify(key)}; known: endpoint, region`,
      );
    }
  }
  const path = decodeURIComponent(parsed.pathname).replace(/^\/+|\/+$/g, '');
  const endpoint = parsed.searchParams.get('endpoint');
  return {
    bucket: parsed.hostname,
    prefix: path === '' ? '' : `${path}/`,
    region: parsed.searchParams.get('region') ?? 'us-east-1',
    ...(endpoint === null ? {} : { endpoint }),
    ...(credentials === undefined ? {} : { credentials }),
  };
}
