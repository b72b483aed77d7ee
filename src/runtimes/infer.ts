import { AppError } from '../errors.js';
import type { InferRequest } from '../protocol/infer.js';
import type { Signature } from '../protocol/signature.js';
import { checkInputs, checkOutputs } from './check.js';
import type { InferCodec } from './codecs/codec.js';
import type { InferCall, Loaded } from './engine.js';
import { failure, type Respond, type RuntimeRequest } from './message.js';
import type { LoadedModel } from './models.js';

/** The request parameter that names one of a model's signatures. */
export const SIGNATURE_PARAMETER = 'signature_name';

/**
 * Takes a request through a model: read, checked, queued, run with others, printed. What is wrong with a request is found
 * before it is queued. Answers once; never throws.
 */
export function infer(model: LoadedModel, codec: InferCodec, request: RuntimeRequest, respond: Respond): void {
  const { source, loaded, batcher, statistics } = model;
  const began = performance.now();
  const fail = (error: unknown) => {
    statistics.failed(performance.now() - began);
    respond(failure(error));
  };
  let asked: InferRequest;
  let call: InferCall;
  try {
    asked = codec.read(request, loaded.signature);
    call = callOf(loaded, asked);
  } catch (error) {
    fail(error);
    return;
  }
  const readMs = performance.now() - began;
  batcher.submit(call, {
    signal: request.signal,
    deadline: request.deadline,
    done(outputs, timing) {
      const printing = performance.now();
      const answer = { modelName: source.name, modelVersion: source.version, id: asked.id, outputs };
      let response: ReturnType<InferCodec['print']>;
      try {
        response = codec.print(asked, answer);
      } catch (error) {
        fail(error);
        return;
      }
      const printMs = performance.now() - printing;
      statistics.succeeded({ ...timing, readMs, printMs }, Date.now());
      respond(response);
    },
    failed: fail,
  });
}

/** The run that a request asks for, once it is known to fit the model. */
export function callOf(loaded: Loaded, asked: InferRequest): InferCall {
  const name = signatureName(asked);
  const signature = name === undefined ? loaded.signature : namedSignature(loaded, name);
  const outputs = asked.outputs?.map((output) => output.name);
  checkInputs(signature, asked.inputs, loaded.dimensionNames);
  if (outputs) checkOutputs(signature, outputs);
  return { inputs: asked.inputs, outputs, signature: name };
}

function signatureName({ parameters }: InferRequest): string | undefined {
  const name = parameters[SIGNATURE_PARAMETER];
  if (name === undefined || typeof name === 'string') return name;
  throw new AppError('invalid', `parameter ${SIGNATURE_PARAMETER} is ${JSON.stringify(name)}, expected a string`);
}

function namedSignature({ signatures }: Loaded, name: string): Signature {
  const signature = signatures?.get(name);
  if (signature) return signature;
  const known = signatures ? `it has ${[...signatures.keys()].join(', ')}` : 'it has one without a name';
  throw new AppError('invalid', `the model has no signature "${name.slice(0, 100)}"; ${known}`);
}
