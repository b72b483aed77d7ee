import type { InferRequest, InferResponse } from '../../protocol/infer.js';
import type { Signature } from '../../protocol/signature.js';
import type { RuntimeRequest, RuntimeResponse } from '../message.js';

/** One form in which predictions travel. */
export interface InferCodec {
  /** Reads a request; `invalid` naming what is wrong. `signature`: the model's default one. */
  read(request: RuntimeRequest, signature: Signature): InferRequest;
  /** Prints the answer to a request that this codec read. */
  print(asked: InferRequest, response: InferResponse): RuntimeResponse;
}
