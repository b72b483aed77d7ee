import { type GrpcInferRequest, readModelInferRequest } from '../grpc/infer-request.js';
import { readModelInferResponse, writeModelInferResponse } from '../grpc/infer-response.js';
import type { InferCodec } from './codec.js';

/** The content type of a gRPC message by itself. */
export const PROTOBUF = 'application/x-protobuf';

export const PROTOBUF_HEADERS: Readonly<Record<string, string>> = Object.freeze({ 'content-type': PROTOBUF });

/** The messages of the protocol's gRPC service, `ModelInferRequest` and `ModelInferResponse`. */
export const grpc: InferCodec = {
  read: ({ body }) => readModelInferRequest(body),
  outputs: ({ body }) => readModelInferResponse(body).outputs,
  print(asked, response) {
    const { rawOutputs } = asked as GrpcInferRequest;
    const parts = writeModelInferResponse(response, rawOutputs);
    return { headers: PROTOBUF_HEADERS, body: parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts) };
  },
};
