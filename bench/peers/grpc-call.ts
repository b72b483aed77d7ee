/** One `ModelInfer` call of the Open Inference Protocol, to see what a server answers. Load comes from ghz. */
import { connect } from 'node:http2';
import { AppError } from '../../src/errors.js';
import { ProtoReader, VARINT } from '../../src/protocol/protobuf/reader.js';
import { ProtoWriter } from '../../src/protocol/protobuf/writer.js';
import type { GrpcPrediction } from '../support/predictions.js';
import { type Answer, raw } from './answer.js';

const PATH = '/inference.GRPCInferenceService/ModelInfer';
const TIMEOUT_MS = 10_000;
/** A flag (not compressed) and the message's length. */
const PREFIX_BYTES = 5;

export async function callModelInfer(
  address: string,
  prediction: GrpcPrediction,
  headers: Readonly<Record<string, string>>,
): Promise<Answer> {
  const client = connect(`http://${address}`);
  try {
    const body = await new Promise<Buffer>((resolve, reject) => {
      client.on('error', reject);
      const stream = client.request({
        ':method': 'POST',
        ':path': PATH,
        'content-type': 'application/grpc',
        te: 'trailers',
        ...headers,
      });
      const chunks: Buffer[] = [];
      let status: unknown;
      const noteStatus = (fields: Readonly<Record<string, unknown>>) => {
        status = fields['grpc-status'] ?? status;
      };
      stream.setTimeout(TIMEOUT_MS, () => stream.destroy(new Error(`no answer within ${TIMEOUT_MS} ms`)));
      stream.on('response', noteStatus).on('trailers', noteStatus).on('error', reject);
      stream.on('data', (chunk: Buffer) => chunks.push(chunk));
      stream.on('close', () => {
        if (String(status) === '0') resolve(Buffer.concat(chunks));
        else reject(new AppError('upstream_failed', `answered with gRPC status ${status}`));
      });
      stream.end(frame(encode(prediction)));
    });
    return decode(body.subarray(PREFIX_BYTES));
  } finally {
    client.close();
  }
}

function frame(message: Buffer): Buffer {
  const prefix = Buffer.alloc(PREFIX_BYTES);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

/** `ModelInferRequest`; field numbers as in load/open-inference.proto. */
function encode({ model_name, inputs: [input] }: GrpcPrediction): Buffer {
  const values = input.contents.fp32_contents;
  const contents = new ProtoWriter();
  contents.bytes(6, Buffer.from(Float32Array.from(values).buffer));
  const tensor = new ProtoWriter();
  tensor.string(1, input.name);
  tensor.string(2, input.datatype);
  tensor.packed(3, input.shape.length, (inner, at) => inner.packedInt64(input.shape[at] ?? 0));
  tensor.message(5, contents);
  const request = new ProtoWriter();
  request.string(1, model_name);
  request.message(5, tensor);
  return request.finish();
}

/** `ModelInferResponse`, its tensors as contents or as raw bytes. */
function decode(bytes: Buffer): Answer {
  const tensors: { name: string; values: number[] }[] = [];
  const raws: Buffer[] = [];
  for (const reader = new ProtoReader(bytes); reader.next(); ) {
    if (reader.field === 5) tensors.push(decodeTensor(reader.message()));
    else if (reader.field === 6) raws.push(reader.view());
    else reader.skip();
  }
  const of = (name: string) => {
    const at = tensors.findIndex((tensor) => tensor.name === name);
    const bytesOf = raws[at];
    return bytesOf === undefined ? (tensors[at]?.values ?? []) : raw(name, bytesOf);
  };
  return { labels: of('label'), probabilities: of('probabilities') };
}

function decodeTensor(reader: ProtoReader): { name: string; values: number[] } {
  let name = '';
  const values: number[] = [];
  while (reader.next()) {
    if (reader.field === 1) name = reader.string();
    else if (reader.field === 5) {
      for (const contents = reader.message(); contents.next(); ) {
        if (contents.field === 6) values.push(...raw('probabilities', contents.view()));
        // labels are below 128, so that each packed varint is one byte
        else if (contents.field === 3 && contents.wire !== VARINT) values.push(...contents.view());
        else if (contents.field === 3) values.push(contents.safeInt64());
        else contents.skip();
      }
    } else reader.skip();
  }
  return { name, values };
}
