import { createReadStream } from 'node:fs';
import { Readable } from 'node:stream';
import type { S3Client } from '@aws-sdk/client-s3';
import type { Blobs, Digest, PutOptions } from '../../core/blobs.js';
import { AppError, messageOf } from '../../errors.js';
import { hexOf, noSuchBlob } from './digest.js';
import type { FolderBlobs } from './folder.js';

const PART_BYTES = 8 * 1024 * 1024;
/** What `localPath` gave out so recently stays in the cache, whatever its size: a program may be about to open it. */
const CACHE_KEEP_MS = 60 * 60 * 1000;
const TRIM_EVERY_MS = 60 * 1000;
/** S3 takes at most 10 000 parts. */
const MAX_PARTS = 9_000;

/** Which bucket, how to get in, and the cache on this machine. */
export interface S3Options {
  readonly bucket: string;
  /** Put before every key; empty or ending in a slash. */
  readonly prefix: string;
  readonly region: string;
  /** Where the server is, for anything but AWS. */
  readonly endpoint?: string;
  /** Without them the SDK looks where AWS programs look: profile files, the pod's or the machine's role. */
  readonly credentials?: {
    readonly accessKeyId: string;
    readonly secretAccessKey: string;
    readonly sessionToken?: string;
  };
  /** Holds what is on its way up and what was fetched. */
  readonly cache: FolderBlobs;
  /** What was used longest ago leaves the cache when it holds more than this. */
  readonly cacheMaxBytes: number;
}

/**
 * Blobs as objects `<prefix>sha256/<64 hex digits>` of an S3 bucket. A put spools to the local cache and is uploaded when
 * its digest is known: the key is final from the first byte sent, so there are no temporary objects to copy (a copy ends
 * at 5 GiB) and to sweep, what is already there is not sent again, and the file is at once where `localPath` wants it.
 * An object appears whole or not at all, as S3 does it. The SDK is loaded at the first use.
 */
export class S3Blobs implements Blobs {
  private connecting: Promise<{ sdk: typeof import('@aws-sdk/client-s3'); client: S3Client }> | undefined;
  private proven = false;
  private trimmedAt = 0;
  private readonly fetching = new Map<Digest, Promise<string>>();

  constructor(private readonly options: S3Options) {}

  async put(source: AsyncIterable<Uint8Array>, options: PutOptions = {}): Promise<{ digest: Digest; bytes: number }> {
    const { cache } = this.options;
    const spooled = await cache.put(source, options);
    await cache.touch(spooled.digest);
    await this.trim();
    const there = await this.stat(spooled.digest);
    // what fails to go up stays in the cache, so that trying again is quick
    if (there?.bytes !== spooled.bytes) await this.upload(spooled.digest, spooled.bytes, options.signal);
    return spooled;
  }

  async open(digest: Digest): Promise<Readable> {
    const { sdk, client } = await this.connected();
    const command = new sdk.GetObjectCommand({ Bucket: this.options.bucket, Key: this.keyOf(digest) });
    try {
      const { Body } = await client.send(command);
      if (Body instanceof Readable) return Body;
      throw new AppError('upstream_failed', `S3 answered blob ${digest} without bytes`);
    } catch (error) {
      throw this.explained(error, digest);
    }
  }

  async stat(digest: Digest): Promise<{ bytes: number } | undefined> {
    const { sdk, client } = await this.connected();
    const command = new sdk.HeadObjectCommand({ Bucket: this.options.bucket, Key: this.keyOf(digest) });
    try {
      const { ContentLength } = await client.send(command);
      return { bytes: ContentLength ?? 0 };
    } catch (error) {
      const explained = this.explained(error, digest);
      if (explained.code !== 'not_found') throw explained;
    }
    await this.prove(digest);
    return undefined;
  }

  /** The answer to HEAD has no body, so a missing bucket looks like a missing blob. Once, a GET tells which it is. */
  private async prove(digest: Digest): Promise<void> {
    if (this.proven) return;
    try {
      (await this.open(digest)).destroy();
    } catch (error) {
      if (!(error instanceof AppError && error.code === 'not_found')) throw error;
    }
    this.proven = true;
  }

  async delete(digest: Digest): Promise<void> {
    const { sdk, client } = await this.connected();
    const command = new sdk.DeleteObjectCommand({ Bucket: this.options.bucket, Key: this.keyOf(digest) });
    try {
      await client.send(command);
    } catch (error) {
      const explained = this.explained(error, digest);
      if (explained.code !== 'not_found') throw explained;
    }
    await this.options.cache.delete(digest);
  }

  /** A blob that is cached here is not looked for in the bucket again: its name says what it is. */
  async localPath(digest: Digest): Promise<string> {
    const { cache } = this.options;
    if (await cache.stat(digest)) {
      await cache.touch(digest);
      return cache.localPath(digest);
    }
    const under = this.fetching.get(digest);
    if (under) return under;
    const fetch = this.fetch(digest).finally(() => this.fetching.delete(digest));
    this.fetching.set(digest, fetch);
    return fetch;
  }

  private async fetch(digest: Digest): Promise<string> {
    const { cache, bucket } = this.options;
    const body = await this.open(digest);
    try {
      await cache.put(body, { expect: digest });
    } catch (error) {
      body.destroy();
      if (error instanceof AppError && error.code === 'invalid') {
        const message = `the object ${this.keyOf(digest)} in bucket ${bucket} is damaged: ${error.message}`;
        throw new AppError('upstream_failed', message, { cause: error });
      }
      throw error instanceof AppError ? error : this.explained(error, digest);
    }
    await this.trim();
    return cache.localPath(digest);
  }

  private async trim(): Promise<void> {
    if (Date.now() - this.trimmedAt < TRIM_EVERY_MS) return;
    this.trimmedAt = Date.now();
    await this.options.cache.trim(this.options.cacheMaxBytes, CACHE_KEEP_MS);
  }

  private async upload(digest: Digest, bytes: number, signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted();
    const { Upload } = await import('@aws-sdk/lib-storage');
    const { client } = await this.connected();
    const body = createReadStream(await this.options.cache.localPath(digest), { highWaterMark: 1024 * 1024 });
    const upload = new Upload({
      client,
      params: {
        Bucket: this.options.bucket,
        Key: this.keyOf(digest),
        Body: body,
        ContentType: 'application/octet-stream',
      },
      partSize: Math.max(PART_BYTES, Math.ceil(bytes / MAX_PARTS)),
      queueSize: 4,
      leavePartsOnError: false,
    });
    const abort = () => void upload.abort();
    signal?.addEventListener('abort', abort, { once: true });
    try {
      await upload.done();
    } catch (error) {
      signal?.throwIfAborted();
      throw this.explained(error, digest);
    } finally {
      signal?.removeEventListener('abort', abort);
      body.destroy();
    }
  }

  private keyOf(digest: Digest): string {
    return `${this.options.prefix}sha256/${hexOf(digest)}`;
  }

  private connected() {
    this.connecting ??= this.connect();
    return this.connecting;
  }

  private async connect() {
    const { region, endpoint, credentials } = this.options;
    const sdk = await import('@aws-sdk/client-s3');
    const client = new sdk.S3Client({
      region,
      // bucket names as host names need a DNS that plays along; every server understands paths
      forcePathStyle: true,
      maxAttempts: 4,
      ...(endpoint === undefined ? {} : { endpoint }),
      ...(credentials === undefined ? {} : { credentials }),
    });
    return { sdk, client };
  }

  private explained(error: unknown, digest: Digest): AppError {
    if (error instanceof AppError) return error;
    const { bucket, endpoint } = this.options;
    const name = error instanceof Error ? error.name : '';
    const status = statusOf(error);
    if (name === 'NoSuchKey' || name === 'NotFound') return noSuchBlob(digest);
    const where = `bucket ${bucket}${endpoint === undefined ? '' : ` at ${endpoint}`}`;
    const why = messageOf(error) || name;
    if (status === 401 || status === 403) {
      return new AppError('internal', `S3 refuses access to ${where}: ${why}`, { cause: error });
    }
    return new AppError('upstream_failed', `S3 failed on ${where}: ${why}`, { cause: error });
  }
}

function statusOf(error: unknown): number | undefined {
  if (!(error instanceof Error && '$metadata' in error)) return undefined;
  const metadata = error.$metadata as { httpStatusCode?: number };
  return metadata.httpStatusCode;
}
