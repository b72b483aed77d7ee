/**
 * Requests that a SavedModel brings along to be sent to it before anybody else's, in the form of TensorFlow Serving
 * (tensorflow.org/tfx/serving/saved_model_warmup): what is set up at the first inference is then set up already.
 */
import { join } from 'node:path';
import { AppError, messageOf } from '../../errors.js';
import type { Signature } from '../../protocol/signature.js';
import type { Tensor } from '../../protocol/tensor.js';
import { checkInputs, checkOutputs } from '../check.js';
import type { InferCall } from '../engine.js';
import { readPredictionLog } from './prediction-log.js';
import { readRecords } from './records.js';

const FILE = 'assets.extra/tf_serving_warmup_requests';
const MAX_RECORDS = 1000;

export interface WarmUp {
  /** The SavedModel's. */
  readonly folder: string;
  readonly signatures: ReadonlyMap<string, Signature>;
  readonly defaultName: string;
  readonly infer: (call: InferCall) => Promise<Tensor[]>;
}

/**
 * Sends the requests one after the other and answers what is to be said about them. Rejects with `invalid`, naming the
 * record, when the file is damaged, holds more than 1000 records, or one of them fails.
 */
export async function warmUp(model: WarmUp): Promise<readonly string[]> {
  const skipped = new Map<string, number>();
  let index = 0;
  try {
    for await (const record of readRecords(join(model.folder, FILE))) {
      if (++index > MAX_RECORDS) throw new AppError('invalid', `it holds more than ${MAX_RECORDS} records`);
      const other = await replay(model, record).catch((error) => {
        throw new AppError('invalid', `record ${index}: ${messageOf(error)}`, { cause: error });
      });
      if (other !== undefined) skipped.set(other, (skipped.get(other) ?? 0) + 1);
    }
  } catch (error) {
    // most models bring none
    if (index === 0 && isMissing(error)) return [];
    throw new AppError('invalid', `the warm-up requests in ${FILE} cannot be used: ${messageOf(error)}`, {
      details: { record: index },
      cause: error,
    });
  }
  return [...skipped].map(
    ([what, count]) => `${count} of ${index} warm-up requests were left out: ${what} requests are not replayed.`,
  );
}

/** Sends one request; the kind of request when it is one that is left out. */
async function replay(model: WarmUp, record: Buffer): Promise<string | undefined> {
  const request = readPredictionLog(record);
  if (request.kind === 'other') return request.what;
  const name = request.signature === '' ? model.defaultName : request.signature;
  const signature = model.signatures.get(name);
  if (!signature) throw new AppError('invalid', `the model has no signature "${name}"`);
  const outputs = request.outputs.length === 0 ? undefined : request.outputs;
  checkInputs(signature, request.inputs);
  if (outputs) checkOutputs(signature, outputs);
  await model.infer({ inputs: request.inputs, outputs, signature: name });
  return undefined;
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR');
}
