import { Readable } from 'node:stream';
import type { Blobs, Digest, PutOptions } from '../../core/blobs.js';
import { AppError } from '../../errors.js';
import { hexOf, noSuchBlob } from './digest.js';
import type { FolderBlobs } from './folder.js';
import { S3Bucket, type S3Location } from './s3-bucket.js';

/** What `localPath` gave out so recently stays in the cache, whatever its size: a program may be about to open it. */
const CACHE_KEEP_MS = 60 * 60 * 1000;
const TRIM_EVERY_MS = 60 * 1000;

/** Which bucket, how to get in, and the cache on this machine. */
export interface S3Options extends S3Location {
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
  private readonly bucket: S3Bucket;
  private proven = false;
  private trimmedAt = 0;
  private readonly fetching = new Map<Digest, Promise<string>>();

  constructor(private readonly options: S3Options) {
    this.bucket = new S3Bucket(options);
  }

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

  async open(digest: Digest, start = 0): Promise<Readable> {
    const { sdk, client } = await this.bucket.connected();
    const range = start === 0 ? {} : { Range: `bytes=${start}-` };
    const command = new sdk.GetObjectCommand({ Bucket: this.options.bucket, Key: this.keyOf(digest), ...range });
    try {
      const { Body } = await client.send(command);
      if (Body instanceof Readable) return Body;
      throw new AppError('upstream_failed', `S3 answered blob ${digest} without bytes`);
    } catch (error) {
      throw this.explained(error, digest);
    }
  }

  async stat(digest: Digest): Promise<{ bytes: number } | undefined> {
    const { sdk, client } = await this.bucket.connected();
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
    const { sdk, client } = await this.bucket.connected();
    const command = new sdk.DeleteObjectCommand({ Bucket: this.options.bucket, Key: this.keyOf(digest) });
    try {
      await client.send(command);
    } catch (error) {
      const explained = this.explained(error, digest);
      if (explained.code !== 'not_found') throw explained;
    }
    await this.options.cache.delete(digest);
  }

  async presign(digest: Digest, seconds: number): Promise<string> {
    try {
      return await this.bucket.presign(this.keyOf(digest), seconds);
    } catch (error) {
      throw this.explained(error, digest);
    }
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
    const path = await this.options.cache.localPath(digest);
    try {
      await this.bucket.upload(this.keyOf(digest), { path, bytes }, signal);
    } catch (error) {
      signal?.throwIfAborted();
      throw this.explained(error, digest);
    }
  }

  private keyOf(digest: Digest): string {
    return `${this.options.prefix}sha256/${hexOf(digest)}`;
  }

  private explained(error: unknown, digest: Digest): AppError {
    return this.bucket.explained(error, () => noSuchBlob(digest));
  }
}
