import { AppError } from '../errors.js';
import type { Printed } from '../protocol/codecs/codec.js';
import { type InferRequest, SIGNATURE_PARAMETER } from '../protocol/infer.js';
import type { Signature } from '../protocol/signature.js';
import type { Tensor } from '../protocol/tensor.js';
import type { Timing } from './batching/batcher.js';
import { checkInputs, checkOutputs } from './check.js';
import type { InferCall, Loaded } from './engine.js';
import { failure, type Respond, type RuntimeRequest } from './message.js';
import type { LoadedModel } from './models.js';
import type { InferRoute } from './routes.js';

/**
 * Takes a request through a model: read, checked, queued, run with others, printed. What is wrong with a request is found
 * before it is queued. Answers once; never throws.
 */
export function infer(model: LoadedModel, route: InferRoute, request: RuntimeRequest, respond: Respond): void {
  const { source, loaded, batcher, statistics } = model;
  const { codec } = route;
  const began = performance.now();
  const fail = (error: unknown) => {
    statistics.failed(performance.now() - began);
    respond(failure(error));
  };
  let asked: InferRequest;
  let call: InferCall;
  try {
    asked = codec.read(request, loaded);
    call = callOf(loaded, asked);
  } catch (error) {
    fail(error);
    return;
  }
  const readMs = performance.now() - began;
  const done = (outputs: readonly Tensor[], timing: Timing) => {
    const printing = performance.now();
    let printed: Printed;
    try {
      printed = codec.print(asked, { modelName: source.name, modelVersion: source.version, id: asked.id, outputs });
    } catch (error) {
      fail(error);
      return;
    }
    const printMs = performance.now() - printing;
    statistics.succeeded({ ...timing, readMs, printMs }, Date.now());
    respond({ status: 200, headers: printed.headers, body: printed.body, queuedMs: timing.queueMs });
  };
  if (route.explain) explain(model, call).then(({ outputs, timing }) => done(outputs, timing), fail);
  else batcher.submit(call, { signal: request.signal, deadline: request.deadline, done, failed: fail });
}

/** Explanations are rare and slow, and nothing is known of how they would join: each goes alone. */
async function explain({ engine, source }: LoadedModel, call: InferCall) {
  if (!engine.explain) throw new AppError('unsupported', `models of kind ${source.framework} have no explanations`);
  const began = performance.now();
  const outputs = await engine.explain(call);
  return { outputs, timing: { queueMs: 0, inferMs: performance.now() - began, batchRows: 1 } };
}

/** The run that a request asks for, once it is known to fit the model. */
export function callOf(loaded: Loaded, asked: InferRequest): InferCall {
  const name = signatureName(asked);
  const signature = name === undefined ? loaded.signature : namedSignature(loaded, name);
  const outputs = asked.outputs?.map((output) => output.name);
  if (!loaded.open) {
    checkInputs(signature, asked.inputs, loaded.dimensionNames);
    if (outputs) checkOutputs(signature, outputs);
  }
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
