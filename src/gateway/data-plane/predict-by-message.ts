/** Predictions by the messages of the gRPC service, whatever the model's server speaks. */
import type { Exchange, ReplyHandler, ReplyHead } from '../../core/inference/forward.js';
import { type PredictOptions, predict } from '../../core/inference/predict.js';
import type { RevisionRoute } from '../../core/inference/route.js';
import { type AppError, asAppError } from '../../errors.js';
import { PROTOBUF_HEADERS } from '../../protocol/codecs/grpc.js';
import type { Plane } from './plane.js';
import { refuseOtherProtocol } from './protocols.js';
import { type Transcoded, transcode } from './transcode.js';

export interface MessageCall {
  readonly revision: RevisionRoute;
  /** A `ModelInferRequest`. */
  readonly message: Buffer;
  /** W3C `traceparent`. */
  readonly trace: string | undefined;
  /** Beside those that say what the body is. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
}

/** Sends a message where it goes; the body of an answer of status 200 is a `ModelInferResponse`. */
export function predictByMessage(
  { sending, meterOf }: Plane,
  { revision, message, trace, headers: more }: MessageCall,
  options: PredictOptions,
  handler: ReplyHandler,
): Exchange {
  const { paths } = meterOf(revision);
  const method = 'POST';
  if (!revision.server) {
    const headers = more ? { ...PROTOBUF_HEADERS, ...more } : PROTOBUF_HEADERS;
    const call = { method, path: paths.protobuf, headers, body: message, trace };
    return predict(sending, { revision, call }, options, handler);
  }
  refuseOtherProtocol(revision.server, 'infer');
  const transcoded = transcode(message);
  const { headers, body } = transcoded;
  const call = { method, path: paths.infer, headers: { ...headers, ...more }, body, trace };
  return predict(sending, { revision, call }, options, new Transcoding(transcoded, handler));
}

/** Turns a good answer in the protocol's REST form into the message that it stands for. Others pass as they are. */
class Transcoding implements ReplyHandler {
  private good: { readonly head: ReplyHead; readonly chunks: Buffer[] } | undefined;

  constructor(
    private readonly transcoded: Transcoded,
    private readonly handler: ReplyHandler,
  ) {}

  onReply(head: ReplyHead, body: Buffer): void {
    if (head.status !== 200) {
      this.handler.onReply(head, body);
      return;
    }
    this.good = { head, chunks: [body] };
    if (!head.more) this.onEnd();
  }

  onData(chunk: Buffer): void {
    if (this.good) this.good.chunks.push(chunk);
    else this.handler.onData(chunk);
  }

  onEnd(): void {
    const { good, handler } = this;
    if (!good) {
      handler.onEnd();
      return;
    }
    try {
      const parts = this.transcoded.answer({ ...good.head, body: Buffer.concat(good.chunks) });
      handler.onReply({ ...good.head, headers: PROTOBUF_HEADERS, more: false, worked: true }, Buffer.concat(parts));
    } catch (error) {
      handler.onError(asAppError(error));
    }
  }

  onError(error: AppError): void {
    this.handler.onError(error);
  }
}
