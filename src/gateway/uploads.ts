/** Bytes in and out of the blob store, as streams. */
import { Readable } from 'node:stream';
import type { ReadableStream as NodeStream } from 'node:stream/web';
import type { Context } from 'hono';
import { storeBlob } from '../core/blob-references.js';
import { DIGEST_PATTERN, type Digest } from '../core/blobs.js';
import { findBlob, recordBlob } from '../core/datasets/store.js';
import { AppError } from '../errors.js';
import type { GatewayEnv } from './env.js';
import type { Services } from './services.js';

/** Streams the request's body into the blob store and notes whose it is. A client that leaves half-way leaves nothing. */
export async function storeBody(
  c: Context<GatewayEnv>,
  services: Services,
  expect?: Digest,
): Promise<{ digest: Digest; bytes: number }> {
  const stored = await receiveBlob(c, services, expect);
  await recordBlob(services.db, c.get('caller').project, stored.digest, stored.bytes);
  return stored;
}

/** Streams the request's body into the blob store, where nothing refers to it yet. */
export async function receiveBlob(
  c: Context,
  { blobs, db, limits }: Pick<Services, 'blobs' | 'db' | 'limits'>,
  expect?: Digest,
): Promise<{ digest: Digest; bytes: number }> {
  const declared = Number(c.req.header('content-length') ?? 0);
  if (declared > limits.uploadBytes) {
    throw new AppError('too_large', `the upload has ${declared} bytes; at most ${limits.uploadBytes} are taken`, {
      details: { bytes: declared, maxBytes: limits.uploadBytes },
    });
  }
  const { signal } = c.req.raw;
  const options = { maxBytes: limits.uploadBytes, signal, ...(expect === undefined ? {} : { expect }) };
  return storeBlob(db, blobs, c.req.raw.body ?? Readable.from([]), options).catch((error: unknown) => {
    if (signal.aborted)
      throw new AppError('cancelled', 'the client went away before the upload was whole', { cause: error });
    throw error;
  });
}

/** A digest, or `invalid`. */
export function checkDigest(digest: string): Digest {
  if (DIGEST_PATTERN.test(digest)) return digest;
  throw new AppError('invalid', `digest: must be sha256: and 64 hex digits (got ${JSON.stringify(digest)})`, {
    details: { field: 'digest', value: digest },
  });
}

/** The size of a blob that the caller's project brought and the store has. */
export async function ownBlob(
  c: Context<GatewayEnv>,
  { blobs, db }: Services,
  digest: Digest,
): Promise<number | undefined> {
  const known = await findBlob(db, c.get('caller').project, digest);
  return known && (await blobs.stat(digest)) ? known.bytes : undefined;
}

/** Answers with a blob's bytes, perhaps only from the one at `start` on; for HEAD with their size alone. */
export async function sendBlob(
  c: Context,
  { blobs }: Pick<Services, 'blobs'>,
  { digest, bytes, name, start = 0 }: { digest: Digest; bytes: number; name: string; start?: number },
) {
  c.header('Content-Type', 'application/octet-stream');
  c.header('Content-Length', String(bytes - start));
  c.header('Content-Disposition', `attachment; filename*=UTF-8''${encodeURIComponent(name)}`);
  c.header('ETag', `"${digest}"`);
  if (start > 0) c.header('Content-Range', `bytes ${start}-${bytes - 1}/${bytes}`);
  const status = start > 0 ? 206 : 200;
  // an opened file would never be read, so never closed
  if (c.req.method === 'HEAD') return c.body(null, status);
  const stream: NodeStream = Readable.toWeb(await blobs.open(digest, start));
  // the same class under two names: node's own and the global one
  return c.body(stream as ReadableStream, status);
}
