import { AppError } from '../errors.js';
import type { Tensor } from './tensor.js';

/** Free-form parameters of a request, an input or an output. */
export type Parameters = Readonly<Record<string, unknown>>;

/** The request parameter that names one of a model's signatures. */
export const SIGNATURE_PARAMETER = 'signature_name';

/** An output the client asked for by name. */
export interface RequestedOutput {
  readonly name: string;
  readonly parameters: Parameters;
}

/** An infer request, whichever way it travelled. */
export interface InferRequest {
  /** Echoed in the answer when there is one. */
  readonly id: string | undefined;
  readonly parameters: Parameters;
  readonly inputs: readonly Tensor[];
  /** Undefined: all outputs, in the model's order. */
  readonly outputs: readonly RequestedOutput[] | undefined;
}

/** An infer response. */
export interface InferResponse {
  readonly modelName: string;
  /** Undefined for a server without versions. */
  readonly modelVersion: string | undefined;
  readonly id: string | undefined;
  readonly outputs: readonly Tensor[];
}

/** Whether the client wants this output's bytes rather than JSON: the output's own word, else the request's, else no. */
export function wantsBinary(request: InferRequest, output: string): boolean {
  const own = request.outputs?.find((wanted) => wanted.name === output)?.parameters.binary_data;
  return (own ?? request.parameters.binary_data_output) === true;
}

/** Refuses two of the same name. */
export function refuseTwice(named: readonly { readonly name: string }[], what: string): void {
  if (named.length < 2) return;
  const seen = new Set<string>();
  for (const { name } of named) {
    if (seen.has(name)) throw new AppError('invalid', `${what} "${name}" is given twice`);
    seen.add(name);
  }
}
