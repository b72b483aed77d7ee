import { type InferRequest, wantsBinary } from '../../protocol/infer.js';
import { HEADER_LENGTH, parseHeaderLength, parseInferRequest } from '../../protocol/v2-json.js';
import { printInferResponse } from '../../protocol/v2-print.js';
import { header, JSON_HEADERS } from '../message.js';
import type { InferCodec } from './codec.js';

/** The Open Inference Protocol's JSON, with the binary tensor extension. */
export const v2: InferCodec = {
  read: (request, signature) =>
    parseInferRequest(request.body, { headerLength: parseHeaderLength(header(request, HEADER_LENGTH)), signature }),
  print(asked, response) {
    const printed = printInferResponse(response, binaryChoice(asked));
    if (printed.headerLength === undefined) return { status: 200, headers: JSON_HEADERS, body: printed.body };
    const headers = { 'content-type': 'application/octet-stream', [HEADER_LENGTH]: String(printed.headerLength) };
    return { status: 200, headers, body: printed.body };
  },
};

const never = () => false;

/** Asked for once a tensor; most requests ask for no binary at all. */
function binaryChoice(request: InferRequest): (output: string) => boolean {
  if (request.outputs === undefined && request.parameters.binary_data_output === undefined) return never;
  return (output) => wantsBinary(request, output);
}
