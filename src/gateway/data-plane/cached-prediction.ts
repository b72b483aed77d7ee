/**
 * Predictions of an endpoint with a response cache. A request is read here, whatever form it came in, so that equal ones
 * are known; the model's server is asked in the messages of the gRPC service, and from its answer each client's own is
 * printed.
 */
import type { Exchange, ReplyHandler, ReplyHead } from '../../core/inference/forward.js';
import type { PredictOptions } from '../../core/inference/predict.js';
import type { Computation, Outcome, SharedAnswer, Source, Waiter } from '../../core/inference/response-cache/flight.js';
import { requestKey } from '../../core/inference/response-cache/request-key.js';
import { type AppError, asAppError } from '../../errors.js';
import { type InferCodec, JSON_HEADERS } from '../../protocol/codecs/codec.js';
import { writeModelInferRequest } from '../../protocol/grpc/infer-request.js';
import { readModelInferResponse } from '../../protocol/grpc/infer-response.js';
import { type InferRequest, SIGNATURE_PARAMETER } from '../../protocol/infer.js';
import type { AskedPrediction } from './asked-prediction.js';
import type { Plane } from './plane.js';
import { predictByMessage } from './predict-by-message.js';
import { errorOfReply } from './reply-error.js';

/** Says where an answer came from. */
export const CACHE_HEADER = 'sluice-cache';
const SAYS: Readonly<Record<Source, string>> = {
  computed: 'miss',
  coalesced: 'coalesced',
  memory: 'hit',
  shared: 'hit',
};

/** Answers from the cache, or starts the prediction and has its answer kept; undefined for one that cannot be kept. */
export function cachedPrediction(
  plane: Plane,
  asked: AskedPrediction,
  options: PredictOptions,
  handler: ReplyHandler,
): Exchange | undefined {
  const { revision, codec, call } = asked;
  if (codec === undefined || !isPlain(asked, options)) return undefined;
  const cache = plane.services.caches.of(asked.endpoint);
  if (!cache) return undefined;
  const request = codec.read({ headers: call.headers, body: call.body }, revision);
  // of a model's signatures only the default one is known here
  if (request.parameters[SIGNATURE_PARAMETER] !== undefined) return undefined;
  const key = requestKey(request);
  if (key === undefined) return undefined;
  const waiter = new Answerer(codec, request, handler);
  const compute = (outcome: Outcome, timeoutMs: number): Computation => {
    const message = Buffer.concat(writeModelInferRequest(NO_NAME, { ...request, id: undefined }));
    const computing = new Computing(cache.maxEntryBytes, outcome, waiter);
    return predictByMessage(plane, { revision, message, trace: call.trace }, { ...options, timeoutMs }, computing);
  };
  const { timeoutMs } = options;
  const member = cache.answer({ revision: revision.key, request: key }, { compute, timeoutMs, waiter });
  return { cancel: () => member.cancel(), pause: () => {}, resume: () => {} };
}

/** The model's server has one model, whose name the path says. */
const NO_NAME = { modelName: '', modelVersion: undefined };

/** Whether nothing says that this request is to be answered by the model itself. */
function isPlain({ call, source }: AskedPrediction, { idempotent }: PredictOptions): boolean {
  return idempotent && call.rest === undefined && !/no-(cache|store)/.test(source.header('cache-control') ?? '');
}

/** Collects what the model's server answers. One too large to be kept is only for the one who asked. */
class Computing implements ReplyHandler {
  private head: ReplyHead | undefined;
  private readonly chunks: Buffer[] = [];
  private alone = false;

  constructor(
    private readonly maxBytes: number,
    private readonly outcome: Outcome,
    private readonly own: Waiter,
  ) {}

  onReply(head: ReplyHead, body: Buffer): void {
    this.head = head;
    this.chunks.push(body);
    if (!head.more) this.onEnd();
    // a length that is not said is not known to be small
    else if (!(Number(head.headers['content-length']) <= this.maxBytes)) {
      this.alone = true;
      this.outcome.alone();
    }
  }

  onData(chunk: Buffer): void {
    this.chunks.push(chunk);
  }

  onEnd(): void {
    const { head, chunks } = this;
    if (!head) return;
    const body = chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks);
    const { status } = head;
    const message = status === 200 ? body : Buffer.from(errorOfReply(head, body).message);
    if (this.alone) this.own.answered({ status, message }, 'computed');
    else this.outcome.answered({ status, message });
  }

  onError(error: AppError): void {
    if (this.alone) this.own.failed(error);
    else this.outcome.failed(error);
  }
}

/** Prints an answer for the one who asked. */
class Answerer implements Waiter {
  constructor(
    private readonly codec: InferCodec,
    private readonly request: InferRequest,
    private readonly handler: ReplyHandler,
  ) {}

  answered({ status, message }: SharedAnswer, source: Source): void {
    const { codec, request, handler } = this;
    const cached = source === 'memory' || source === 'shared';
    const head = (headers: Readonly<Record<string, string>>) => ({
      status,
      headers: { ...headers, [CACHE_HEADER]: SAYS[source] },
      more: false,
      worked: true,
      cached,
    });
    if (status !== 200) {
      handler.onReply(head(JSON_HEADERS), Buffer.from(JSON.stringify({ error: message.toString('utf8') })));
      return;
    }
    try {
      const printed = codec.print(request, { ...readModelInferResponse(message), id: request.id });
      handler.onReply(head(printed.headers), printed.body);
    } catch (error) {
      handler.onError(asAppError(error));
    }
  }

  failed(error: AppError): void {
    this.handler.onError(error);
  }
}
