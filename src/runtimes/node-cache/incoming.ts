/** A blob on its way here: written to a draft, hashed, and read meanwhile by as many as asked for it. */
import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { AppError, asAppError } from '../../errors.js';
import { writeWhole } from '../pod/blob-files.js';
import { away } from '../pod/http-get.js';

/** Bytes from the one at `start` on: the answer's status says whether it begins there (206) or at the first one (200). */
export type OpenBlob = (start: number) => Promise<IncomingMessage>;

/** The bytes that came hash to something else. */
export class Damaged extends AppError {}

export class Incoming {
  private written = 0;
  private over: 'whole' | AppError | undefined;
  private readonly waiting = new Set<() => void>();

  constructor(
    private readonly digest: string,
    readonly bytes: number,
    /** Of the draft, for writing and reading. */
    private readonly handle: FileHandle,
    private readonly open: OpenBlob,
  ) {}

  /** Writes all bytes to the draft; goes on where a connection broke. Rejects when they are not those of the digest. */
  async fill(first: IncomingMessage): Promise<void> {
    try {
      const hash = createHash('sha256');
      for (let answer = first; ; answer = await this.rest()) {
        const before = this.written;
        const broke = await this.take(answer, hash);
        if (this.written === this.bytes) break;
        if (this.written === before) throw broke;
      }
      const digest = `sha256:${hash.digest('hex')}`;
      if (digest !== this.digest) throw new Damaged('invalid', damage(this.digest, digest));
    } catch (error) {
      this.end(asAppError(error));
      throw error;
    }
  }

  /** Says that the draft is the blob, and hands its last byte out. */
  whole(): void {
    this.end('whole');
  }

  /** How far it may be read, once that is beyond `at` or all: never to its end before it is known to be right. */
  async readable(at: number): Promise<number> {
    for (;;) {
      if (this.over === 'whole') return this.bytes;
      if (this.over) throw this.over;
      const end = Math.min(this.written, this.bytes - 1);
      if (end > at) return end;
      await new Promise<void>((resolve) => this.waiting.add(resolve));
    }
  }

  /** Resolves with what broke the connection, if anything did. */
  private async take(answer: IncomingMessage, hash: { update(chunk: Buffer): unknown }): Promise<AppError> {
    const chunks = answer[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
    for (;;) {
      const next = await chunks.next().catch((error: unknown) => away('the source', error));
      if (next instanceof AppError) return next;
      if (next.done) return away('the source', new Error(`it ended after ${this.written} of ${this.bytes} bytes`));
      if (this.written + next.value.length > this.bytes) {
        answer.destroy();
        throw new Damaged('invalid', `${this.digest} is damaged where it is kept: it is longer than it says`);
      }
      hash.update(next.value);
      await writeWhole(this.handle, next.value, this.written);
      this.written += next.value.length;
      this.wake();
    }
  }

  private async rest(): Promise<IncomingMessage> {
    const answer = await this.open(this.written);
    if (answer.statusCode === 206) return answer;
    answer.destroy();
    throw away('the source', new Error(`it does not go on at byte ${this.written}`));
  }

  private end(over: 'whole' | AppError): void {
    this.over = over;
    this.wake();
  }

  private wake(): void {
    const waiting = [...this.waiting];
    this.waiting.clear();
    for (const go of waiting) go();
  }
}

function damage(expected: string, digest: string): string {
  return `${expected} is damaged where it is kept: its bytes hash to ${digest}`;
}
