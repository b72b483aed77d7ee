import type { Readable } from 'node:stream';

/** `sha256:` and 64 lower-case hex digits: the name of a blob is the hash of its bytes. */
export type Digest = string;

export const DIGEST_PATTERN = /^sha256:[0-9a-f]{64}$/;

export interface PutOptions {
  /** Refuse (`too_large`) as soon as more bytes than this have come. */
  readonly maxBytes?: number;
  /** Refuse (`invalid`, naming both digests) and keep nothing when the bytes hash to something else. */
  readonly expect?: Digest;
  /** Called when all bytes have come, before it is looked whether they are there already; its rejection fails the put. */
  readonly onDigest?: (digest: Digest) => Promise<void>;
  readonly signal?: AbortSignal;
}

/**
 * Content-addressed storage of artifacts: model files, code, datasets. Two implementations ship: a folder and S3.
 * A blob is either whole or absent: a put that fails, is aborted or dies half-way leaves nothing that `stat` sees.
 */
export interface Blobs {
  /** Streams the bytes in; nothing is held whole in memory. Storing the same bytes twice is one blob and no error. */
  put(source: AsyncIterable<Uint8Array>, options?: PutOptions): Promise<{ digest: Digest; bytes: number }>;
  /** The blob's bytes as a stream, perhaps only from the one at `start` on; `not_found` when there is no such blob. */
  open(digest: Digest, start?: number): Promise<Readable>;
  /** Its size, or undefined when there is no such blob. */
  stat(digest: Digest): Promise<{ bytes: number } | undefined>;
  /** Removes it; no error when it is not there. */
  delete(digest: Digest): Promise<void>;
  /** A path on this machine that holds the bytes, for programs that read files; read-only. Remote blobs are fetched once, checked and cached. */
  localPath(digest: Digest): Promise<string>;
  /** A URL that answers GET with the bytes for so long, to whoever has it; absent where nobody else can reach them. */
  presign?(digest: Digest, seconds: number): Promise<string>;
}
