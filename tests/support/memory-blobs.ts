import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import type { Blobs } from '../../src/core/blobs.js';
import { AppError } from '../../src/errors.js';

/** A blob store whose blobs a test can look at and take away. */
export function memoryBlobs(): Blobs & {
  readonly stored: Map<string, Buffer>;
  text(text: string): Promise<{ digest: string; bytes: number }>;
} {
  const stored = new Map<string, Buffer>();
  const blobs: Blobs = {
    async put(source, options = {}) {
      const chunks: Uint8Array[] = [];
      for await (const chunk of source) chunks.push(chunk);
      const bytes = Buffer.concat(chunks);
      const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
      await options.onDigest?.(digest);
      stored.set(digest, bytes);
      return { digest, bytes: bytes.length };
    },
    async open(digest, start = 0) {
      const bytes = stored.get(digest);
      if (!bytes) throw new AppError('not_found', `there is no blob ${digest}`);
      return Readable.from([bytes.subarray(start)]);
    },
    async stat(digest) {
      const bytes = stored.get(digest);
      return bytes && { bytes: bytes.length };
    },
    async delete(digest) {
      stored.delete(digest);
    },
    localPath: () => Promise.reject(new AppError('unsupported', 'these blobs are no files')),
  };
  return { ...blobs, stored, text: (text) => blobs.put(Readable.from([Buffer.from(text)])) };
}
