/** Records a prediction that is in the sample: stands between the one who asked and whoever answers, and changes nothing. */
import type { AppError } from '../../errors.js';
import { HEADER_LENGTH } from '../../protocol/v2-json.js';
import type { Call, Exchange, ReplyHandler, ReplyHead } from '../inference/forward.js';
import type { EndpointRoute, RevisionRoute } from '../inference/route.js';
import type { PayloadLog } from './payload-log.js';
import { type Destination, type DropReason, type PayloadRecord, type PredictionFacts, targetOf } from './record.js';
import { inSample } from './sampling.js';
import type { PayloadLogSettings } from './settings.js';

/** A prediction that is about to be made. */
export interface LoggedPrediction {
  readonly id: string;
  readonly endpoint: EndpointRoute;
  readonly revision: RevisionRoute;
  readonly call: Call;
  /** Where to look the request's own headers up, by their lower-case names. */
  readonly source: { header(name: string): string | undefined };
}

/** Where to record, and what time it is, in milliseconds since the epoch. */
export interface LogContext {
  readonly log: PayloadLog;
  readonly nowMs: number;
}

/** Starts a prediction, and records it where its endpoint's settings say so. */
export function logged(
  context: LogContext,
  prediction: LoggedPrediction,
  handler: ReplyHandler,
  start: (handler: ReplyHandler) => Exchange,
): Exchange {
  const settings = prediction.endpoint.payloadLog;
  if (settings === undefined || !inSample(prediction.id, settings.rate)) return start(handler);
  return new Tap(context, settings, prediction, handler).begin(start);
}

/** What a record says of its body. */
type BodyFacts = Pick<PayloadRecord, 'kind' | 'timeMs' | 'status' | 'latencyMs' | 'contentType' | 'jsonBytes'>;

/** One object for all roles, because there is one for every recorded prediction. Whoever waits is served first. */
class Tap implements ReplyHandler, Exchange {
  private readonly log: PayloadLog;
  private readonly to: Destination;
  private readonly facts: PredictionFacts;
  private readonly began = performance.now();
  private exchange: Exchange | undefined;
  /** Of an answer that is coming piece by piece and is being recorded. */
  private answer: { readonly head: BodyFacts; readonly pieces: Uint8Array[]; bytes: number } | undefined;

  constructor(
    private readonly context: LogContext,
    private readonly settings: PayloadLogSettings,
    private readonly prediction: LoggedPrediction,
    private readonly handler: ReplyHandler,
  ) {
    const { id, endpoint, revision, call } = prediction;
    this.log = context.log;
    this.to = { project: endpoint.project, endpoint: endpoint.name, sink: settings.sink };
    this.facts = {
      id,
      project: endpoint.project,
      endpoint: endpoint.name,
      revision: revision.number,
      modelVersion: revision.modelVersion,
      target: targetOf(endpoint, revision),
      headers: this.namedHeaders(),
      traceParent: call.trace,
    };
  }

  begin(start: (handler: ReplyHandler) => Exchange): Exchange {
    this.exchange = start(this);
    if (this.settings.mode !== 'response') this.recordRequest();
    return this;
  }

  onReply(head: ReplyHead, body: Buffer): void {
    this.handler.onReply(head, body);
    if (this.settings.mode === 'request') return;
    const latencyMs = performance.now() - this.began;
    const facts: BodyFacts = {
      kind: 'response',
      timeMs: this.context.nowMs + latencyMs,
      status: head.status,
      latencyMs,
      contentType: head.headers['content-type'],
      jsonBytes: count(head.headers[HEADER_LENGTH]),
    };
    if (head.more) {
      this.answer = { head: facts, pieces: [], bytes: 0 };
      this.recordPiece(body);
    } else this.record(facts, body);
  }

  onData(chunk: Buffer): void {
    this.handler.onData(chunk);
    this.recordPiece(chunk);
  }

  onEnd(): void {
    this.handler.onEnd();
    const { answer } = this;
    this.answer = undefined;
    if (answer) this.log.add(this.to, { ...this.facts, ...answer.head, pieces: answer.pieces });
  }

  onError(error: AppError): void {
    this.handler.onError(error);
    this.giveUp();
  }

  cancel(): void {
    this.exchange?.cancel();
    this.giveUp();
  }

  pause(): void {
    this.exchange?.pause();
  }

  resume(): void {
    this.exchange?.resume();
  }

  private recordRequest(): void {
    const { headers, body, rest } = this.prediction.call;
    // what is passed on piece by piece is too large to be held
    if (rest) this.log.drop(this.to, [], 'too_large');
    else {
      const jsonBytes = count(headers[HEADER_LENGTH]);
      const contentType = headers['content-type'];
      this.record({ kind: 'request', timeMs: this.context.nowMs, contentType, jsonBytes }, body);
    }
  }

  private record(facts: BodyFacts, body: Buffer): void {
    if (body.length > this.settings.maxBodyBytes) {
      this.log.drop(this.to, [], 'too_large');
      return;
    }
    const data = this.log.keep(this.to, body);
    if (data) this.log.add(this.to, { ...this.facts, ...facts, pieces: [data] });
    else this.log.drop(this.to, [], 'buffer_full');
  }

  private recordPiece(bytes: Buffer): void {
    const { answer } = this;
    if (!answer || bytes.length === 0) return;
    answer.bytes += bytes.length;
    if (answer.bytes > this.settings.maxBodyBytes) {
      this.giveUp('too_large');
      return;
    }
    const kept = this.log.keep(this.to, bytes);
    if (kept) answer.pieces.push(kept);
    else this.giveUp('buffer_full');
  }

  private giveUp(reason?: DropReason): void {
    const { answer } = this;
    this.answer = undefined;
    if (answer) this.log.drop(this.to, answer.pieces, reason);
  }

  private namedHeaders(): Record<string, string> {
    const headers: Record<string, string> = {};
    for (const name of this.settings.metadataHeaders) {
      const value = this.prediction.source.header(name);
      if (value !== undefined) headers[name] = value;
    }
    return headers;
  }
}

function count(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}
