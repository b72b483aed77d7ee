/** A unary call of the inference service, over HTTP/2 without TLS: one connection for each call, which nothing else needs. */
import http2 from 'node:http2';
import { writeModelInferRequest } from '../../src/protocol/grpc/infer-request.js';
import { readModelInferResponse } from '../../src/protocol/grpc/infer-response.js';
import type { Tensor } from '../../src/protocol/tensor.js';
import type { Served } from '../engines/answers.js';

const PATH = '/inference.GRPCInferenceService/ModelInfer';
/** Flag and length of a message in the stream. */
const PREFIX_BYTES = 5;
const TIMEOUT_MS = 60_000;

export async function askOverGrpc(
  { url, key, endpoint }: Served,
  inputs: readonly Tensor[],
): Promise<readonly Tensor[]> {
  const request = { id: undefined, parameters: {}, inputs, outputs: undefined };
  const message = Buffer.concat(writeModelInferRequest({ modelName: endpoint, modelVersion: undefined }, request));
  return readModelInferResponse(await call(url, key, message)).outputs as readonly Tensor[];
}

/** Whether the gateway's port takes calls at all: undefined, or why not. */
export async function refusesGrpc(url: string, key: string): Promise<string | undefined> {
  return call(url, key, Buffer.alloc(0)).then(
    () => undefined,
    // an answer with a status of gRPC's is one, whatever it says
    (error: Error) => (/^status \d+/.test(error.message) ? undefined : error.message),
  );
}

function call(url: string, key: string, message: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const connection = http2.connect(url);
    const fail = (error: Error) => {
      connection.destroy();
      reject(error);
    };
    connection.on('error', fail);
    const stream = connection.request({
      ':method': 'POST',
      ':path': PATH,
      'content-type': 'application/grpc',
      te: 'trailers',
      authorization: `Bearer ${key}`,
    });
    const chunks: Buffer[] = [];
    let status: string | undefined;
    let words: string | undefined;
    const note = (headers: http2.IncomingHttpHeaders) => {
      status = String(headers['grpc-status'] ?? status ?? '') || undefined;
      words = String(headers['grpc-message'] ?? words ?? '');
    };
    stream.setTimeout(TIMEOUT_MS, () => fail(new Error(`no answer within ${TIMEOUT_MS} ms`)));
    stream.on('response', note);
    stream.on('trailers', note);
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.on('error', fail);
    stream.on('end', () => {
      connection.close();
      if (status !== '0') {
        reject(new Error(status === undefined ? 'the answer has no grpc-status' : `status ${status}: ${words}`));
        return;
      }
      resolve(Buffer.concat(chunks).subarray(PREFIX_BYTES));
    });
    const prefix = Buffer.alloc(PREFIX_BYTES);
    prefix.writeUInt32BE(message.length, 1);
    stream.end(Buffer.concat([prefix, message]));
  });
}
