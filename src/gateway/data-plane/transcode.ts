/** A gRPC prediction for a server that speaks the protocol's REST form alone. */
import type { Reply } from '../../core/inference/forward.js';
import { AppError, asAppError } from '../../errors.js';
import { readModelInferRequest } from '../../protocol/grpc/infer-request.js';
import { writeModelInferResponse } from '../../protocol/grpc/infer-response.js';
import type { Tensor } from '../../protocol/tensor.js';
import { HEADER_LENGTH, parseHeaderLength, parseInferResponse } from '../../protocol/v2-json.js';
import { printInferRequest } from '../../protocol/v2-print.js';

export interface Transcoded {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
  /** The message of a good answer; `upstream_failed` when the answer is none. */
  answer(reply: Reply): Buffer[];
}

/** As JSON, which every such server reads; what JSON cannot carry exactly, in the binary extension. */
export function transcode(message: Buffer): Transcoded {
  const request = readModelInferRequest(message);
  const exact = request.inputs.filter(needsBinary).map(({ name }) => name);
  const { body, headerLength } = printInferRequest(request, (input) => exact.includes(input));
  const headers: Record<string, string> =
    headerLength === undefined
      ? { 'content-type': 'application/json' }
      : { 'content-type': 'application/octet-stream', [HEADER_LENGTH]: String(headerLength) };
  return {
    headers,
    body,
    answer(reply) {
      try {
        const response = parseInferResponse(reply.body, {
          headerLength: parseHeaderLength(reply.headers[HEADER_LENGTH]),
        });
        return writeModelInferResponse(response, request.rawOutputs);
      } catch (error) {
        throw new AppError('upstream_failed', `the model's server sent no answer: ${asAppError(error).message}`);
      }
    },
  };
}

function needsBinary({ datatype, data }: Tensor): boolean {
  if (datatype === 'FP16' || datatype === 'BF16') return true;
  if (datatype === 'FP32' || datatype === 'FP64') return !data.every(Number.isFinite);
  return false;
}
