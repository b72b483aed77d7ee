/** A request that is copied: passes its answer on as it comes, and keeps it until its copies were compared with it. */
import type { Clock } from '../../../clock.js';
import type { AppError } from '../../../errors.js';
import type { InferCodec } from '../../../protocol/codecs/codec.js';
import type { Exchange, Reply, ReplyHandler, ReplyHead } from '../forward.js';
import type { RevisionRoute, ShadowRoute } from '../route.js';
import { Copy, type CopyOwner, isStream, type SendCopy } from './copy.js';
import { judge } from './judge.js';
import type { PacedQueue } from './paced-queue.js';
import type { EndpointShadows, ShadowDrop } from './record.js';

/** A request that may be copied. */
export interface ShadowedRequest {
  readonly id: string;
  readonly shadow: ShadowRoute;
  /** The revision that answers. */
  readonly revision: RevisionRoute;
  readonly codec: InferCodec;
  /** Of its body. */
  readonly bytes: number;
  readonly send: SendCopy;
}

/** What all copied requests of a process share. */
export interface CopyHouse {
  readonly options: { readonly clock: Clock; readonly processes: number };
  readonly comparisons: PacedQueue;
  /** Whether so many bytes more may be held. */
  hold(bytes: number): boolean;
  letGo(bytes: number): void;
}

export class CopiedRequest implements ReplyHandler, Exchange, CopyOwner {
  exchange: Exchange | undefined;
  private readonly copies: Copy[] = [];
  /** Answered before the request itself was. */
  private readonly early: { readonly copy: Copy; readonly reply: Reply }[] = [];
  private head: ReplyHead | undefined;
  private chunks: Buffer[] = [];
  private answerBytes = 0;
  private held = 0;
  /** The real answer, or why there is none to compare with. */
  private end: Reply | ShadowDrop | undefined;
  private state: 'before' | 'copied' | 'done' = 'before';
  /** Copies that are under way or are being compared. */
  private open = 0;

  constructor(
    private readonly house: CopyHouse,
    private readonly record: EndpointShadows,
    private readonly request: ShadowedRequest,
    private readonly revisions: readonly RevisionRoute[],
    private readonly handler: ReplyHandler,
  ) {}

  sendCopies(): void {
    if (this.state === 'done') return;
    this.state = 'copied';
    // one that ends at once is not yet the last
    this.open = 1;
    for (const revision of this.revisions) this.sendCopy(revision);
    this.closed();
  }

  onReply(head: ReplyHead, body: Buffer): void {
    this.handler.onReply(head, body);
    if (this.state === 'done') return;
    this.head = head;
    // what was kept from before says nothing new: the model was not asked either
    if (head.cached && this.state === 'before') this.done();
    else if (isStream(head)) this.ends('streamed');
    else if (head.status >= 500 || head.status === 429) this.ends('no_answer');
    else this.keep(body);
    if (!head.more) this.answered();
  }

  onData(chunk: Buffer): void {
    this.handler.onData(chunk);
    this.keep(chunk);
  }

  onEnd(): void {
    this.handler.onEnd();
    this.answered();
  }

  onError(error: AppError): void {
    this.handler.onError(error);
    this.ends('no_answer');
  }

  /** Its client is gone, and with it what its copies would be compared with. */
  cancel(): void {
    this.exchange?.cancel();
    this.ends('no_answer');
  }

  pause(): void {
    this.exchange?.pause();
  }

  resume(): void {
    this.exchange?.resume();
  }

  hold(bytes: number): boolean {
    if (!this.house.hold(bytes)) return false;
    this.held += bytes;
    return true;
  }

  copyAnswered(copy: Copy, reply: Reply, latencyMs: number): void {
    this.record.inFlight--;
    this.record.of(copy.revision).answered(latencyMs);
    if (this.end === undefined) this.early.push({ copy, reply });
    else this.compare(copy, reply, this.end);
  }

  copyFailed({ revision }: Copy, why: string): void {
    this.record.inFlight--;
    this.record.of(revision).failed(why);
    this.closed();
  }

  copyDropped({ revision }: Copy, reason: ShadowDrop): void {
    this.record.inFlight--;
    this.record.of(revision).dropped(reason);
    this.closed();
  }

  private sendCopy(revision: RevisionRoute): void {
    const { end, record, request, house } = this;
    const { maxInFlight, maxBodyBytes, timeoutMs } = request.shadow.settings;
    const of = record.of(revision);
    if (typeof end === 'string') of.dropped(end);
    else if (of.rests) of.dropped('failing');
    else if (record.inFlight >= Math.ceil(maxInFlight / house.options.processes)) of.dropped('in_flight');
    else if (this.copies.length === 0 && !this.hold(request.bytes)) of.dropped('memory');
    else {
      record.inFlight++;
      this.open++;
      of.sent();
      const copy = new Copy(revision, maxBodyBytes, this);
      this.copies.push(copy);
      copy.send(request.send, timeoutMs);
    }
  }

  /** A part of the real answer. */
  private keep(chunk: Buffer): void {
    if (this.end !== undefined || this.state === 'done') return;
    this.answerBytes += chunk.length;
    if (this.answerBytes > this.request.shadow.settings.maxBodyBytes) this.ends('too_large');
    else if (!this.hold(chunk.length)) this.ends('memory');
    else this.chunks.push(chunk);
  }

  private answered(): void {
    const { head, chunks } = this;
    if (!head || this.end !== undefined || this.state === 'done') return;
    const body = chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks);
    this.ends({ status: head.status, headers: head.headers, body });
  }

  private ends(end: Reply | ShadowDrop): void {
    if (this.end !== undefined) return;
    this.end = end;
    if (typeof end === 'string') for (const copy of this.copies) copy.drop(end);
    for (const { copy, reply } of this.early.splice(0)) this.compare(copy, reply, end);
  }

  private compare(copy: Copy, shadow: Reply, real: Reply | ShadowDrop): void {
    const of = this.record.of(copy.revision);
    if (typeof real === 'string') of.dropped(real);
    else if (this.house.comparisons.add(() => this.judged(copy, real, shadow))) return;
    else of.dropped('behind');
    this.closed();
  }

  private judged({ revision }: Copy, real: Reply, shadow: Reply): void {
    const { record, request, house } = this;
    const of = record.of(revision);
    const { codec, id } = request;
    const comparison = judge(codec, request.revision.signature, { real, shadow }, request.shadow.settings);
    if (comparison) {
      of.compared(comparison);
      const [difference] = comparison.differences;
      if (difference) {
        const at = new Date(house.options.clock.now());
        const who = { realRevision: request.revision.number, shadowRevision: revision.number };
        record.keep({ at, requestId: id, ...who, ...difference });
      }
    } else of.dropped('unreadable');
    this.closed();
  }

  /** One copy less; with the last one all is let go. */
  private closed(): void {
    this.open--;
    if (this.open === 0) this.done();
  }

  private done(): void {
    this.state = 'done';
    this.chunks = [];
    this.house.letGo(this.held);
    this.held = 0;
  }
}
