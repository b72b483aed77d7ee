import { type InferRequest, wantsBinary } from '../infer.js';
import { HEADER_LENGTH, parseHeaderLength, parseInferRequest, parseInferResponse } from '../v2-json.js';
import { printInferResponse } from '../v2-print.js';
import { header, type InferCodec, JSON_HEADERS } from './codec.js';

/** The Open Inference Protocol's JSON, with the binary tensor extension. */
export const v2: InferCodec = {
  read: (message, { signature }) =>
    parseInferRequest(message.body, { headerLength: parseHeaderLength(header(message, HEADER_LENGTH)), signature }),
  outputs: (message) =>
    parseInferResponse(message.body, { headerLength: parseHeaderLength(header(message, HEADER_LENGTH)) }).outputs,
  print(asked, response) {
    const printed = printInferResponse(response, binaryChoice(asked));
    if (printed.headerLength === undefined) return { headers: JSON_HEADERS, body: printed.body };
    const headers = { 'content-type': 'application/octet-stream', [HEADER_LENGTH]: String(printed.headerLength) };
    return { headers, body: printed.body };
  },
};

const never = () => false;

/** Asked for once a tensor; most requests ask for no binary at all. */
function binaryChoice(request: InferRequest): (output: string) => boolean {
  if (request.outputs === undefined && request.parameters.binary_data_output === undefined) return never;
  return (output) => wantsBinary(request, output);
}
