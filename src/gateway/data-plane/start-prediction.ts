import type { Exchange, ReplyHandler } from '../../core/inference/forward.js';
import { type PredictOptions, predict } from '../../core/inference/predict.js';
import { logged } from '../../core/payload-log/logged.js';
import type { AskedPrediction } from './asked-prediction.js';
import { cachedPrediction } from './cached-prediction.js';
import type { Plane } from './plane.js';
import { SampledPrediction } from './sampled-prediction.js';
import { shadowedRequest } from './shadowed-prediction.js';

/**
 * Sends a request to its revision, or answers it from what is kept of others, has it copied to shadows, recorded and its
 * outputs counted, as its endpoint's settings say. `direct`: how it is sent, where that is not as it came.
 */
export function startPrediction(
  plane: Plane,
  asked: AskedPrediction,
  options: PredictOptions,
  handler: ReplyHandler,
  direct?: (handler: ReplyHandler) => Exchange,
): Exchange {
  const { endpoint, codec } = asked;
  if (endpoint.outputs === undefined || codec === undefined)
    return startUncounted(plane, asked, options, handler, direct);
  const counted = new SampledPrediction(plane.outputs, { ...asked, codec }, endpoint.outputs, handler);
  return startUncounted(plane, asked, options, counted, direct);
}

function startUncounted(
  plane: Plane,
  asked: AskedPrediction,
  options: PredictOptions,
  handler: ReplyHandler,
  direct?: (handler: ReplyHandler) => Exchange,
): Exchange {
  const { payloadLog, responseCache, shadow } = asked.endpoint;
  const { shadows, payloadLog: log, clock } = plane.services;
  const send = direct ?? ((heard) => predict(plane.sending, asked, options, heard));
  if (payloadLog === undefined && responseCache === undefined && shadow === undefined) return send(handler);
  const answer = (heard: ReplyHandler) => cachedPrediction(plane, asked, options, heard) ?? send(heard);
  const copied = shadow && shadowedRequest(plane, asked, options);
  const start = copied ? (heard: ReplyHandler) => shadows.begin(copied, heard, answer) : answer;
  if (payloadLog === undefined) return start(handler);
  return logged({ log, nowMs: clock.now() }, asked, handler, start);
}
