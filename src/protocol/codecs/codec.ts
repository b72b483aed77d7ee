import type { InferRequest, InferResponse } from '../infer.js';
import type { Signature } from '../signature.js';
import type { Tensor } from '../tensor.js';

/** A request or an answer as it travels. Header names in lower case. */
export interface Message {
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
}

/** An answer's message. */
export interface Printed {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

/** What a reader may need to know of the model. */
export interface ModelSignatures {
  /** The one that a request has in mind when it names none. */
  readonly signature: Signature;
  readonly signatures?: ReadonlyMap<string, Signature> | undefined;
}

/** One form in which predictions travel. */
export interface InferCodec {
  /** Reads a request; `invalid` naming what is wrong. */
  read(message: Message, model: ModelSignatures): InferRequest;
  /** Prints the answer to a request that this codec read. */
  print(asked: InferRequest, response: InferResponse): Printed;
  /** The outputs in a good answer, as a client reads it; `signature`: of the model, for forms that do not say all. */
  outputs(answer: Message, signature: Signature): readonly Tensor[];
}

/** The headers of every plain JSON answer: one object, so that a door may know it by identity. */
export const JSON_HEADERS: Readonly<Record<string, string>> = Object.freeze({ 'content-type': 'application/json' });

/** The first value of a header. */
export function header(message: Message, name: string): string | undefined {
  const value = message.headers[name];
  return Array.isArray(value) ? value[0] : value;
}
