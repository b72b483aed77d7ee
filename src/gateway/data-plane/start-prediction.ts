import type { Exchange, ReplyHandler } from '../../core/inference/forward.js';
import { type PredictOptions, predict } from '../../core/inference/predict.js';
import { type LoggedPrediction, logged } from '../../core/payload-log/logged.js';
import type { Services } from '../services.js';

/** Sends a request to its revision, and has it recorded where its endpoint has a payload log. */
export function startPrediction(
  { fleet, payloadLog, clock }: Services,
  asked: LoggedPrediction,
  options: PredictOptions,
  handler: ReplyHandler,
): Exchange {
  if (asked.endpoint.payloadLog === undefined) return predict(fleet, asked, options, handler);
  const start = (heard: ReplyHandler) => predict(fleet, asked, options, heard);
  return logged({ log: payloadLog, nowMs: clock.now() }, asked, handler, start);
}
