/**
 * The door of predictions over HTTP: the Open Inference Protocol, V1 and the OpenAI API, taken before any framework. A
 * prediction is two table look-ups, a slot and a forward; its body passes as bytes.
 */
import { AppError } from '../../errors.js';
import type { HttpExchange } from '../http/exchange.js';
import { createRequestIds, saneRequestId } from '../request-ids.js';
import { answerError, answerJson } from './answers.js';
import { inform } from './http-information.js';
import { predictOverHttp } from './http-prediction.js';
import { passOn } from './openai.js';
import { type DataPath, dialectOf, methodsOf, readPath } from './paths.js';
import type { Plane } from './plane.js';

export function createDataPlane(plane: Plane): (exchange: HttpExchange) => void {
  const nextId = createRequestIds();
  return (exchange) => {
    const id = saneRequestId(exchange.header('x-request-id')) ?? nextId();
    const fail = (error: unknown) =>
      void answerError(plane.services, exchange, error, { requestId: id, dialect: dialectOf(exchange.url) });
    try {
      const path = pathOf(exchange);
      if (path.kind === 'infer') predictOverHttp(plane, exchange, path, id);
      else if (path.kind === 'openai') passOn(plane, exchange, path, id);
      else inform(plane, exchange, path).then(({ status, body }) => answerJson(exchange, status, body, id), fail);
    } catch (error) {
      fail(error);
    }
  };
}

function pathOf({ url, method }: HttpExchange): DataPath {
  const query = url.indexOf('?');
  const path = query === -1 ? url : url.slice(0, query);
  const read = readPath(path);
  if (!read) throw new AppError('not_found', `there is nothing at ${path.slice(0, 200)}`);
  if (read.kind === 'infer' && method === 'POST') return read;
  const methods = methodsOf(read);
  if (methods.includes(method)) return read;
  throw new AppError('invalid', `${path.slice(0, 200)} takes ${methods.join(', ')}, not ${method}`);
}
