/** Predictions of an endpoint with shadows: which of them are copied, and how a copy goes to its revision. */
import type { Exchange, ReplyHandler } from '../../core/inference/forward.js';
import { type PredictOptions, predict } from '../../core/inference/predict.js';
import type { RevisionRoute } from '../../core/inference/route.js';
import type { ShadowedRequest } from '../../core/inference/shadow/copied-request.js';
import type { InferCodec } from '../../protocol/codecs/codec.js';
import { grpc } from '../../protocol/codecs/grpc.js';
import { v1 } from '../../protocol/codecs/v1.js';
import type { AskedPrediction } from './asked-prediction.js';
import type { Plane } from './plane.js';
import { predictByMessage } from './predict-by-message.js';
import { refuseOtherProtocol } from './protocols.js';

/** Tells a model server that nobody waits for the answer. */
const SHADOW_HEADERS: Readonly<Record<string, string>> = Object.freeze({ 'sluice-shadow': 'true' });

/**
 * The request as it is to be copied; undefined for one that is not: that is pinned to a revision, is streamed, must not run
 * twice, or is passed on unread.
 */
export function shadowedRequest(
  plane: Plane,
  asked: AskedPrediction,
  { idempotent }: PredictOptions,
): ShadowedRequest | undefined {
  const { id, endpoint, revision, call, codec, pinned } = asked;
  if (!endpoint.shadow || pinned || !idempotent || call.rest !== undefined || codec === undefined) return undefined;
  return {
    id,
    shadow: endpoint.shadow,
    revision,
    codec,
    bytes: call.body.length,
    send: (shadow, timeoutMs, handler) => sendCopy(plane, { asked, codec, shadow, timeoutMs }, handler),
  };
}

function sendCopy(
  plane: Plane,
  {
    asked: { call },
    codec,
    shadow,
    timeoutMs,
  }: {
    readonly asked: AskedPrediction;
    readonly codec: InferCodec;
    readonly shadow: RevisionRoute;
    readonly timeoutMs: number;
  },
  handler: ReplyHandler,
): Exchange {
  // somebody else waits for what a second attempt would take
  const options = { timeoutMs, idempotent: false, copy: true };
  const { body, trace } = call;
  if (codec === grpc) {
    const message = { revision: shadow, message: body, trace, headers: SHADOW_HEADERS };
    return predictByMessage(plane, message, options, handler);
  }
  const verb = codec === v1 ? 'predict' : 'infer';
  if (shadow.server) refuseOtherProtocol(shadow.server, verb);
  const copy = { ...call, path: plane.meterOf(shadow).paths[verb], headers: { ...call.headers, ...SHADOW_HEADERS } };
  return predict(plane.sending, { revision: shadow, call: copy }, options, handler);
}
