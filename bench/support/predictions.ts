/**
 * Requests to the models of mlp.ts (64 numbers a row) in each form that the servers take. Bodies of one kind differ in
 * their numbers only, so that nobody can answer from a cache of whole requests.
 */

/** JSON and the binary tensor extension of the Open Inference Protocol, its gRPC, and BentoML's own nested rows. */
export type Form = 'json' | 'binary' | 'grpc' | 'rows';

export interface HttpPrediction {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

/** A `ModelInferRequest` in the JSON form of protobuf. */
export interface GrpcPrediction {
  readonly model_name: string;
  readonly inputs: readonly [
    {
      readonly name: 'X';
      readonly datatype: 'FP32';
      readonly shape: readonly [number, number];
      readonly contents: { readonly fp32_contents: readonly number[] };
    },
  ];
}

/** The name under which every server offers the model. */
export const MODEL = 'digits';
export const VARIANTS = 16;
/** A sampled trace, as clients that trace send with every request. */
export const TRACE = { traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01' };
const WIDTH = 64;

/** The numbers of one request, row by row; between 0 and 1, with few digits. */
export function rowsOf(count: number, variant = 0): number[][] {
  const value = (row: number, column: number) => ((column + 1 + row + 7 * variant) % 17) / 16;
  return Array.from({ length: count }, (_, row) => Array.from({ length: WIDTH }, (_, column) => value(row, column)));
}

export function httpPrediction(form: Exclude<Form, 'grpc'>, rows: readonly (readonly number[])[]): HttpPrediction {
  const data = rows.flat();
  const input = { name: 'X', shape: [rows.length, WIDTH], datatype: 'FP32' };
  if (form === 'rows') return json({ X: rows });
  if (form === 'json') return json({ inputs: [{ ...input, data }] });
  const raw = Buffer.from(Float32Array.from(data).buffer);
  const head = Buffer.from(
    JSON.stringify({
      inputs: [{ ...input, parameters: { binary_data_size: raw.length } }],
      parameters: { binary_data_output: true },
    }),
  );
  return {
    headers: {
      'content-type': 'application/octet-stream',
      'inference-header-content-length': String(head.length),
    },
    body: Buffer.concat([head, raw]),
  };
}

export function grpcPrediction(rows: readonly (readonly number[])[]): GrpcPrediction {
  const contents = { fp32_contents: rows.flat() };
  return {
    model_name: MODEL,
    inputs: [{ name: 'X', datatype: 'FP32', shape: [rows.length, WIDTH], contents }],
  };
}

/** `make` for each variant of this many rows. */
export function variants<T>(rows: number, make: (rows: readonly (readonly number[])[]) => T): T[] {
  return Array.from({ length: VARIANTS }, (_, variant) => make(rowsOf(rows, variant)));
}

function json(body: unknown): HttpPrediction {
  return { headers: { 'content-type': 'application/json' }, body: Buffer.from(JSON.stringify(body)) };
}
