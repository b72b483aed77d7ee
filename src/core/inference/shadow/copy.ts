/** One copy of a request on its way to a shadow, and its answer, which nobody waits for. */
import { type AppError, asAppError } from '../../../errors.js';
import type { Exchange, Reply, ReplyHandler, ReplyHead } from '../forward.js';
import type { RevisionRoute } from '../route.js';
import type { ShadowDrop } from './record.js';

/** Sends the request to another revision. May throw. */
export type SendCopy = (revision: RevisionRoute, timeoutMs: number, handler: ReplyHandler) => Exchange;

/** Hears of a copy's end, once. */
export interface CopyOwner {
  /** Whether so many bytes more may be held. */
  hold(bytes: number): boolean;
  copyAnswered(copy: Copy, reply: Reply, latencyMs: number): void;
  copyFailed(copy: Copy, why: string): void;
  copyDropped(copy: Copy, reason: ShadowDrop): void;
}

/** Whether an answer comes piece by piece while it is made, rather than in pieces because it is large. */
export function isStream({ more, worked, headers }: ReplyHead): boolean {
  return more && !worked && /event-stream|ndjson/.test(headers['content-type'] ?? '');
}

export class Copy implements ReplyHandler {
  private exchange: Exchange | undefined;
  private head: ReplyHead | undefined;
  private readonly chunks: Buffer[] = [];
  private bytes = 0;
  private began = 0;
  private over = false;

  constructor(
    readonly revision: RevisionRoute,
    private readonly maxBytes: number,
    private readonly owner: CopyOwner,
  ) {}

  send(send: SendCopy, timeoutMs: number): void {
    this.began = performance.now();
    try {
      this.exchange = send(this.revision, timeoutMs, this);
      // it may have been dropped by the beginning of an answer that came at once
      if (this.over) this.exchange.cancel();
    } catch (error) {
      this.onError(asAppError(error));
    }
  }

  drop(reason: ShadowDrop): void {
    if (this.over) return;
    this.over = true;
    this.exchange?.cancel();
    this.owner.copyDropped(this, reason);
  }

  onReply(head: ReplyHead, body: Buffer): void {
    if (this.over) return;
    this.head = head;
    if (isStream(head)) this.drop('streamed');
    else this.onData(body);
    if (!head.more) this.onEnd();
  }

  onData(chunk: Buffer): void {
    if (this.over) return;
    this.bytes += chunk.length;
    if (this.bytes > this.maxBytes) this.drop('too_large');
    else if (!this.owner.hold(chunk.length)) this.drop('memory');
    else this.chunks.push(chunk);
  }

  onEnd(): void {
    const { head, chunks } = this;
    if (this.over || !head) return;
    const { status, headers } = head;
    if (status === 429) {
      this.drop('overloaded');
      return;
    }
    this.over = true;
    const body = chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks);
    if (status >= 500) this.owner.copyFailed(this, `status ${status}: ${body.toString('utf8', 0, 300)}`);
    else this.owner.copyAnswered(this, { status, headers, body }, performance.now() - this.began);
  }

  onError(error: AppError): void {
    if (this.over) return;
    if (error.code === 'overloaded') {
      this.drop('overloaded');
      return;
    }
    this.over = true;
    this.owner.copyFailed(this, error.message);
  }
}
