import type { Exchange, ReplyHandler } from '../../core/inference/forward.js';
import { type PredictOptions, predict } from '../../core/inference/predict.js';
import { type LoggedPrediction, logged } from '../../core/payload-log/logged.js';
import type { InferCodec } from '../../protocol/codecs/codec.js';
import { cachedPrediction } from './cached-prediction.js';
import type { Plane } from './plane.js';

/** A prediction that is about to be made. */
export interface AskedPrediction extends LoggedPrediction {
  /** The form that the call is in; undefined for one that is passed on unread, whatever the endpoint's settings. */
  readonly codec: InferCodec | undefined;
}

/**
 * Sends a request to its revision, or answers it from what is kept of others, and has it recorded, as its endpoint's
 * settings say. `direct`: how it is sent, where that is not as it came.
 */
export function startPrediction(
  plane: Plane,
  asked: AskedPrediction,
  options: PredictOptions,
  handler: ReplyHandler,
  direct?: (handler: ReplyHandler) => Exchange,
): Exchange {
  const { endpoint } = asked;
  const { fleet, payloadLog, clock } = plane.services;
  const send = direct ?? ((heard) => predict(fleet, asked, options, heard));
  if (endpoint.payloadLog === undefined && endpoint.responseCache === undefined) return send(handler);
  const start = (heard: ReplyHandler) => cachedPrediction(plane, asked, options, heard) ?? send(heard);
  if (endpoint.payloadLog === undefined) return start(handler);
  return logged({ log: payloadLog, nowMs: clock.now() }, asked, handler, start);
}
