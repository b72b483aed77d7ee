/** Asks a served model over HTTP, as JSON and with the binary tensor extension. */
import { isDatatype } from '../../src/protocol/datatypes.js';
import type { Tensor } from '../../src/protocol/tensor.js';
import { tensorFromBytes } from '../../src/protocol/tensor.js';
import { printInferRequest } from '../../src/protocol/v2-print.js';

export interface Served {
  /** Of the gateway. */
  readonly url: string;
  readonly key: string;
  readonly endpoint: string;
}

/** An output as it was answered: a tensor, or the plain values of JSON. */
export type Answered =
  | { readonly kind: 'binary'; readonly tensor: Tensor }
  | {
      readonly kind: 'json';
      readonly name: string;
      readonly datatype: string;
      readonly shape: readonly number[];
      readonly values: readonly unknown[];
    };

interface OutputHead {
  readonly name: string;
  readonly datatype: string;
  readonly shape: readonly number[];
  readonly parameters?: { readonly binary_data_size?: number };
  readonly data?: readonly unknown[];
}

const HEADER_LENGTH = 'inference-header-content-length';

export interface Question {
  readonly inputs: readonly Tensor[];
  /** Of the model; undefined: the default one. */
  readonly signature?: string;
}

/** All outputs of one request; rejects with the status and the answer when it is not a 200. */
export async function ask(
  served: Served,
  { inputs, signature }: Question,
  kind: Answered['kind'],
): Promise<Answered[]> {
  const binary = kind === 'binary';
  const parameters = {
    ...(signature === undefined ? {} : { signature_name: signature }),
    ...(binary ? { binary_data_output: true } : {}),
  };
  const request = { id: undefined, parameters, inputs, outputs: undefined };
  const { body, headerLength } = printInferRequest(request, () => binary);
  const response = await fetch(`${served.url}/v2/models/${served.endpoint}/infer`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${served.key}`,
      'content-type': binary ? 'application/octet-stream' : 'application/json',
      ...(headerLength === undefined ? {} : { [HEADER_LENGTH]: String(headerLength) }),
    },
    body,
  });
  const bytes = Buffer.from(await response.arrayBuffer());
  if (response.status !== 200) throw new Error(`answered ${response.status}: ${bytes.toString().slice(0, 500)}`);
  const jsonBytes = Number(response.headers.get(HEADER_LENGTH) ?? bytes.length);
  const { outputs } = JSON.parse(bytes.toString('utf8', 0, jsonBytes)) as { readonly outputs: readonly OutputHead[] };
  let at = jsonBytes;
  return outputs.map((head): Answered => {
    const { name, datatype, shape } = head;
    const size = head.parameters?.binary_data_size;
    if (size === undefined) return { kind: 'json', name, datatype, shape, values: head.data ?? [] };
    if (!isDatatype(datatype)) throw new Error(`output "${name}" is of the type ${datatype}`);
    const tensor = tensorFromBytes(name, datatype, shape, bytes.subarray(at, at + size));
    at += size;
    return { kind: 'binary', tensor };
  });
}
