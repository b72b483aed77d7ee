/** Reading TensorFlow Serving's PredictionLog (tensorflow_serving/apis/prediction_log.proto, predict.proto, model.proto). */
import { ProtoReader } from '../../protocol/protobuf/reader.js';
import type { Tensor } from '../../protocol/tensor.js';
import { nested, readEntry, text } from './saved-model.js';
import { readTensorProto } from './tensor-proto.js';

/** What a warm-up file may hold besides predictions, by its field. */
const OTHER_KINDS: Readonly<Record<number, string>> = {
  2: 'classify',
  3: 'regress',
  4: 'multi-inference',
  5: 'session run',
  7: 'streamed predict',
};

export type LoggedRequest =
  | {
      readonly kind: 'predict';
      /** Empty: the default one. */
      readonly signature: string;
      readonly inputs: readonly Tensor[];
      /** Empty: all. */
      readonly outputs: readonly string[];
    }
  | { readonly kind: 'other'; readonly what: string };

/** Reads one PredictionLog; `invalid` when it is none. */
export function readPredictionLog(record: Buffer): LoggedRequest {
  const reader = new ProtoReader(record);
  let found: LoggedRequest = { kind: 'other', what: 'empty' };
  while (reader.next()) {
    const other = OTHER_KINDS[reader.field];
    if (reader.field === 6) found = readPredictLog(nested(reader));
    else {
      if (other !== undefined) found = { kind: 'other', what: other };
      reader.skip();
    }
  }
  return found;
}

function readPredictLog(reader: ProtoReader): LoggedRequest {
  let request = new ProtoReader(Buffer.alloc(0));
  while (reader.next()) {
    if (reader.field === 1) request = nested(reader);
    else reader.skip();
  }
  return readPredictRequest(request);
}

function readPredictRequest(reader: ProtoReader): LoggedRequest {
  let signature = '';
  const inputs = new Map<string, Tensor>();
  const outputs: string[] = [];
  while (reader.next()) {
    if (reader.field === 1) signature = readSignatureName(nested(reader));
    else if (reader.field === 2) {
      const [name, tensor] = readEntry(nested(reader), (value, key) => readTensorProto(key, value));
      inputs.set(name, { ...tensor, name });
    } else if (reader.field === 3) outputs.push(text(reader));
    else reader.skip();
  }
  return { kind: 'predict', signature, inputs: [...inputs.values()], outputs };
}

/** Of a ModelSpec; which model and version it names does not matter here. */
function readSignatureName(reader: ProtoReader): string {
  let name = '';
  while (reader.next()) {
    if (reader.field === 3) name = text(reader);
    else reader.skip();
  }
  return name;
}
