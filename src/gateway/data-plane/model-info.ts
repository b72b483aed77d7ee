/** What the Open Inference Protocol tells of an endpoint, from the routing alone: no replica need run for it. */
import type { EndpointRoute, RevisionRoute } from '../../core/inference/route.js';
import type { TensorSpec } from '../../protocol/signature.js';

const PLATFORM: Readonly<Record<string, string>> = { onnx: 'onnx_onnxv1' };

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

/** The repository index's lines of an endpoint. */
export function indexOf(endpoint: EndpointRoute) {
  return endpoint.targets.map(({ revision }) => ({
    name: endpoint.name,
    version: String(revision.number),
    state: 'READY',
    reason: '',
  }));
}

/** The model configuration extension, as far as it means something here. */
export function configOf(endpoint: EndpointRoute, revision: RevisionRoute) {
  const tensor = ({ name, datatype, shape }: TensorSpec) => ({
    name,
    data_type: `TYPE_${datatype === 'BYTES' ? 'STRING' : datatype}`,
    dims: shape,
  });
  return {
    name: endpoint.name,
    platform: PLATFORM[revision.framework] ?? revision.framework,
    backend: revision.framework,
    max_batch_size: 0,
    input: revision.signature.inputs.map(tensor),
    output: revision.signature.outputs.map(tensor),
  };
}
