/** What the protocols tell of an endpoint, from the routing alone: no replica need run for it. */
import type { EndpointRoute, RevisionRoute } from '../../core/inference/route.js';
import type { Datatype } from '../../protocol/datatypes.js';
import type { TensorSpec } from '../../protocol/signature.js';

const PLATFORM: Readonly<Record<string, string>> = {
  onnx: 'onnx_onnxv1',
  tensorflow: 'tensorflow_savedmodel',
};

/** Model metadata. The versions are the endpoint's revisions with traffic. */
export function metadataOf(endpoint: EndpointRoute, revision: RevisionRoute) {
  return {
    name: endpoint.name,
    versions: endpoint.targets.map((target) => String(target.revision.number)),
    platform: PLATFORM[revision.framework] ?? revision.framework,
    inputs: revision.signature.inputs,
    outputs: revision.signature.outputs,
  };
}

export interface RepositoryLine {
  readonly name: string;
  readonly version: string;
  readonly state: 'READY' | 'UNAVAILABLE';
  readonly reason: string;
}

/** The repository index's lines of an endpoint. */
export function indexOf({ name, suspended, targets }: EndpointRoute): RepositoryLine[] {
  if (targets.length === 0) {
    return [{ name, version: '', state: 'UNAVAILABLE', reason: 'no revision has traffic yet' }];
  }
  const state = suspended ? 'UNAVAILABLE' : 'READY';
  const reason = suspended ? 'unloaded' : '';
  return targets.map(({ revision }) => ({ name, version: String(revision.number), state, reason }));
}

/** An input or output in a model's configuration. */
export interface ConfigTensor {
  readonly name: string;
  readonly datatype: Datatype;
  /** Without the batch, where the model has one. */
  readonly dims: readonly number[];
}

/** The model configuration extension, as far as it means something here. */
export function configOf(endpoint: EndpointRoute, revision: RevisionRoute) {
  const { batching } = revision.runtime;
  const batched = batching.maxRows > 1 && declaresBatch(revision);
  const tensor = ({ name, datatype, shape }: TensorSpec): ConfigTensor => ({
    name,
    datatype,
    dims: batched ? shape.slice(1) : shape,
  });
  return {
    name: endpoint.name,
    platform: PLATFORM[revision.framework] ?? revision.framework,
    backend: revision.framework,
    max_batch_size: batched ? batching.maxRows : 0,
    input: revision.signature.inputs.map(tensor),
    output: revision.signature.outputs.map(tensor),
  };
}

/** Whether the first dimension of all inputs and outputs is open, so that requests may be joined along it. */
function declaresBatch({ signature: { inputs, outputs } }: RevisionRoute): boolean {
  return inputs.length > 0 && [...inputs, ...outputs].every(({ shape }) => shape[0] === -1);
}
