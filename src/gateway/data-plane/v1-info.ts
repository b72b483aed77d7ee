/** What the V1 protocol and the OpenAI API tell of an endpoint, from the routing alone. */
import type { EndpointRoute, RevisionRoute } from '../../core/inference/route.js';
import type { Datatype } from '../../protocol/datatypes.js';
import type { TensorSpec } from '../../protocol/signature.js';

/** The model's line in a list of the OpenAI API. */
export function openAiModel({ name }: EndpointRoute) {
  return { id: name, object: 'model', created: 0, owned_by: 'sluice' };
}

/** A list of models as the OpenAI API has it. */
export function openAiModels(endpoints: readonly EndpointRoute[]) {
  return { object: 'list', data: endpoints.map(openAiModel) };
}

/** The list of models at the path that KServe and the OpenAI API share: an answer that both kinds of clients read. */
export function v1Models(endpoints: readonly EndpointRoute[]) {
  return { models: endpoints.map((endpoint) => endpoint.name), ...openAiModels(endpoints) };
}

/** A model's status: KServe's, TensorFlow Serving's and the OpenAI API's, which share the path. */
export function v1Status(endpoint: EndpointRoute, revisions: readonly RevisionRoute[]) {
  return {
    name: endpoint.name,
    ready: true,
    model_version_status: revisions.map(({ number }) => ({
      version: String(number),
      state: 'AVAILABLE',
      status: { error_code: 'OK', error_message: '' },
    })),
    ...openAiModel(endpoint),
  };
}

/** TensorFlow's names of the datatypes. */
const TENSORFLOW: Readonly<Record<Datatype, string>> = {
  BOOL: 'DT_BOOL',
  UINT8: 'DT_UINT8',
  UINT16: 'DT_UINT16',
  UINT32: 'DT_UINT32',
  UINT64: 'DT_UINT64',
  INT8: 'DT_INT8',
  INT16: 'DT_INT16',
  INT32: 'DT_INT32',
  INT64: 'DT_INT64',
  FP16: 'DT_HALF',
  BF16: 'DT_BFLOAT16',
  FP32: 'DT_FLOAT',
  FP64: 'DT_DOUBLE',
  BYTES: 'DT_STRING',
};

/** TensorFlow Serving's metadata: the signature as its JSON has it, of which the default one alone is known here. */
export function v1Metadata(endpoint: EndpointRoute, { number, signature }: RevisionRoute) {
  const tensors = (specs: readonly TensorSpec[]) =>
    Object.fromEntries(
      specs.map(({ name, datatype, shape }) => {
        const dim = shape.map((size) => ({ size: String(size), name: '' }));
        return [name, { dtype: TENSORFLOW[datatype], tensor_shape: { dim, unknown_rank: false }, name }];
      }),
    );
  const serving = {
    inputs: tensors(signature.inputs),
    outputs: tensors(signature.outputs),
    method_name: 'tensorflow/serving/predict',
  };
  return {
    model_spec: { name: endpoint.name, signature_name: '', version: String(number) },
    metadata: { signature_def: { signature_def: { serving_default: serving } } },
  };
}
