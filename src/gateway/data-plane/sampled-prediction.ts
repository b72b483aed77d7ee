import type { ReplyHandler, ReplyHead } from '../../core/inference/forward.js';
import type { OutputSampler } from '../../core/inference/outputs/sampler.js';
import type { AppError } from '../../errors.js';
import type { InferCodec } from '../../protocol/codecs/codec.js';
import type { AskedPrediction } from './asked-prediction.js';
import { CACHE_HEADER } from './cached-prediction.js';

/** Passes an answer on, then has it counted: a whole one, of the model itself. */
export class SampledPrediction implements ReplyHandler {
  constructor(
    private readonly sampler: OutputSampler,
    private readonly asked: AskedPrediction & { readonly codec: InferCodec },
    private readonly outputs: readonly string[],
    private readonly handler: ReplyHandler,
  ) {}

  onReply(head: ReplyHead, body: Buffer): void {
    this.handler.onReply(head, body);
    const { status, headers, more, cached } = head;
    const own = headers[CACHE_HEADER] === undefined || headers[CACHE_HEADER] === 'miss';
    if (status !== 200 || more || cached === true || !own) return;
    const { revision, codec } = this.asked;
    this.sampler.take({ revision, outputs: this.outputs, codec, headers, body });
  }

  onData(chunk: Buffer): void {
    this.handler.onData(chunk);
  }

  onEnd(): void {
    this.handler.onEnd();
  }

  onError(error: AppError): void {
    this.handler.onError(error);
  }
}
