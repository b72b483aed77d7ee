/** A prediction that came as a message of the gRPC service, from its routing to the message that answers it. */
import type { Exchange, ReplyHandler, ReplyHead } from '../../core/inference/forward.js';
import { AppError, asAppError, WIRE } from '../../errors.js';
import { grpc, PROTOBUF_HEADERS } from '../../protocol/codecs/grpc.js';
import { peekModelName } from '../../protocol/grpc/infer-request.js';
import { traceParent } from '../trace.js';
import { CLIENTS_OWN } from './client-failures.js';
import { elsewhere, standIn } from './fallback.js';
import { withToken } from './feedback-token.js';
import type { RevisionMeter } from './meters.js';
import { type Destination, type HeaderSource, type Plane, route } from './plane.js';
import { predictByMessage } from './predict-by-message.js';
import { errorOfReply } from './reply-error.js';
import { startPrediction } from './start-prediction.js';

/** What an answer says of itself: which revision it is of, and a token to report on it with. */
export type Metadata = Readonly<Record<string, string>>;

/** Who asked. Hears of one end: `answered`, `failed`, or `begins`, pieces, and `ends`. */
export interface GrpcAsker {
  /** The whole answer, in parts. */
  answered(message: readonly Buffer[], metadata: Metadata): void;
  /** An answer of so many bytes begins, whose pieces follow; absent where the asker wants it whole. */
  begins?(bytes: number, metadata: Metadata): void;
  /** False: the prediction is to be paused until there is room. */
  piece?(bytes: Buffer): boolean;
  ends?(): void;
  failed(error: AppError): void;
}

/** One object for all roles that a prediction plays, because there is one for every request. */
export class GrpcPrediction implements ReplyHandler {
  private meter: RevisionMeter | undefined;
  private destination: Destination | undefined;
  private exchange: Exchange | undefined;
  private began = 0;
  private head: ReplyHead | undefined;
  /** Of an answer that is collected. */
  private chunks: Buffer[] | undefined;
  private cancelled = false;
  /** Kept where another revision may be asked. */
  private message: Buffer | undefined;
  private deadline = 0;

  constructor(
    private readonly plane: Plane,
    private readonly source: HeaderSource,
    private readonly asker: GrpcAsker,
    private readonly id: string,
  ) {}

  /** Sends a request where it goes; `timeoutMs`: how long its answer is of use. */
  begin(message: Buffer, timeoutMs: number): void {
    try {
      const { modelName, modelVersion } = peekModelName(message);
      if (modelName === '') throw new AppError('invalid', 'the request has no model_name');
      const destination = route(this.plane, this.source, { name: modelName, version: modelVersion });
      if ('revision' in destination) this.send(destination, message, timeoutMs);
      else {
        destination
          .then((found) => this.send(found, message, timeoutMs))
          .catch((error) => this.asker.failed(asAppError(error)));
      }
    } catch (error) {
      this.asker.failed(asAppError(error));
    }
  }

  /** Nobody waits any more. */
  cancel(): void {
    this.cancelled = true;
    this.exchange?.cancel();
  }

  /** There is room for more pieces. */
  resume(): void {
    this.exchange?.resume();
  }

  onReply(head: ReplyHead, body: Buffer): void {
    const { status, more } = head;
    this.meter?.record(performance.now() - this.began, status, head.cached);
    this.head = head;
    const bytes = Number(head.headers['content-length'] ?? Number.NaN);
    if (!more) this.whole(body);
    else if (status === 200 && this.asker.begins && this.meter && bytes >= 0) {
      this.asker.begins(bytes, this.metadataOf(this.meter));
      this.onData(body);
    } else this.chunks = [body];
  }

  onData(chunk: Buffer): void {
    if (this.chunks) this.chunks.push(chunk);
    else if (this.asker.piece?.(chunk) === false) this.exchange?.pause();
  }

  onEnd(): void {
    if (this.chunks) this.whole(Buffer.concat(this.chunks));
    else this.asker.ends?.();
  }

  onError(error: AppError): void {
    if (!this.head && this.destination?.fallback !== undefined && this.fallBack(this.destination, error)) return;
    if (!this.head && !CLIENTS_OWN.has(error.code)) {
      this.meter?.record(performance.now() - this.began, WIRE[error.code].http);
    }
    this.asker.failed(error);
  }

  /** Whether another revision is asked instead. */
  private fallBack(from: Destination, error: AppError): boolean {
    const { message, meter, plane } = this;
    const to = message && elsewhere(from, error, this.idempotent);
    const leftMs = this.deadline - performance.now();
    if (!to || this.cancelled || leftMs <= 0) return false;
    meter?.fellBack(performance.now() - this.began, error.code);
    try {
      this.send(to, message, leftMs, standIn(plane, to.revision, from.revision));
    } catch (thrown) {
      this.asker.failed(asAppError(thrown));
    }
    return true;
  }

  private get idempotent(): boolean {
    return this.source.header('sluice-idempotent') !== 'false';
  }

  private send(destination: Destination, message: Buffer, timeoutMs: number, standsIn?: RevisionMeter): void {
    if (this.cancelled) return;
    const { plane, source, id } = this;
    const { endpoint, revision, pinned, fallback } = destination;
    const meter = standsIn ?? plane.meterOf(revision);
    this.meter = meter;
    this.destination = destination;
    if (fallback !== undefined) {
      this.message = message;
      this.deadline = performance.now() + timeoutMs;
    }
    const trace = traceParent(source.header('traceparent'));
    this.began = performance.now();
    const call = { method: 'POST', path: meter.paths.protobuf, headers: PROTOBUF_HEADERS, body: message, trace };
    const options = { timeoutMs, idempotent: this.idempotent, clientsTime: true, elsewhere: fallback !== undefined };
    const direct = (heard: ReplyHandler) => predictByMessage(plane, { revision, message, trace }, options, heard);
    this.exchange = startPrediction(
      plane,
      { id, endpoint, revision, call, source, codec: grpc, pinned },
      options,
      this,
      direct,
    );
  }

  private metadataOf({ own }: RevisionMeter): Metadata {
    const { destination } = this;
    return destination?.endpoint.feedback ? withToken(this.plane, destination, this.id, own) : own;
  }

  private whole(body: Buffer): void {
    const { head, meter } = this;
    if (!head || !meter) return;
    if (head.status === 200) this.asker.answered([body], this.metadataOf(meter));
    else this.asker.failed(errorOfReply(head, body));
  }
}
