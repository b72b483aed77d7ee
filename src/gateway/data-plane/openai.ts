/** Calls of the OpenAI API: passed on to servers that speak it, streams piece by piece. */
import { AppError } from '../../errors.js';
import { findModel, withModel } from '../../protocol/openai.js';
import type { HttpExchange } from '../http/exchange.js';
import { wholeBody } from '../http/whole-body.js';
import { HttpPrediction } from './http-prediction.js';
import type { OpenAiPath } from './paths.js';
import { type Plane, route } from './plane.js';

/** Takes a call over; the exchange is answered, whatever happens. */
export function passOn(plane: Plane, exchange: HttpExchange, { path }: OpenAiPath, id: string): void {
  const prediction = new HttpPrediction(plane, exchange, { id, verb: { path }, dialect: 'openai' });
  begin(plane, exchange, prediction).catch((error) => prediction.fail(error));
}

async function begin(plane: Plane, exchange: HttpExchange, prediction: HttpPrediction): Promise<void> {
  const { bodyBytes, predictTimeoutMs } = plane.services.limits;
  const body = await wholeBody(exchange, { maxBytes: bodyBytes, timeoutMs: predictTimeoutMs });
  const model = findModel(body);
  const destination = await route(plane, exchange, { name: model.name });
  const { server } = destination.revision;
  if (!server) {
    throw new AppError('unsupported', `endpoint "${model.name}" serves a model of tensors, not the OpenAI API`);
  }
  const known = server.modelName ?? model.name;
  prediction.begin(destination, known === model.name ? body : withModel(body, model, known));
}
