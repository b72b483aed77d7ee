import { fileURLToPath } from 'node:url';
import type { Blobs } from '../../core/blobs.js';
import { AppError } from '../../errors.js';
import { FolderBlobs } from './folder.js';
import { S3Blobs, type S3Options } from './s3.js';

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
  if (url.startsWith('file://')) return FolderBlobs.open(fileURLToPath(url));
  if (!/^[a-z][a-z0-9+.-]*:\/\//i.test(url)) return FolderBlobs.open(url);
  const { bucket, prefix, endpoint, region } = parseS3Url(url);
  return new S3Blobs({
    bucket,
    prefix,
    region,
    cacheMaxBytes: options.cacheMaxBytes ?? 20 * 1024 ** 3,
    cache: await FolderBlobs.open(options.cacheFolder),
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(options.credentials === undefined ? {} : { credentials: options.credentials }),
  });
}

function parseS3Url(url: string): { bucket: string; prefix: string; region: string; endpoint: string | undefined } {
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
  return {
    bucket: parsed.hostname,
    prefix: path === '' ? '' : `${path}/`,
    region: parsed.searchParams.get('region') ?? 'us-east-1',
    endpoint: parsed.searchParams.get('endpoint') ?? undefined,
  };
}
