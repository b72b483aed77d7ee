/** The names of an endpoint's objects on Knative, and the labels by which they are known as ours. */
import { revisionName, serviceName } from '../../core/cluster-names.js';
import type { EndpointRoute } from '../../core/inference/route.js';
import { MANAGED_BY, MANAGER } from '../kubernetes/objects.js';

const LABEL_PROJECT = 'sluice.dev/project';
const LABEL_ENDPOINT = 'sluice.dev/endpoint';
export const LABEL_ENDPOINT_ID = 'sluice.dev/endpoint-id';
export const LABEL_REVISION = 'sluice.dev/revision';

/** Of a DNS label, which a tag and a Service's name make together. */
const LABEL_LENGTH = 63;

type Named = Pick<EndpointRoute, 'id' | 'name'>;

export function serviceOf({ id, name }: Named): string {
  return serviceName(name, id);
}

export function revisionOf(endpoint: Named, number: number): string {
  return revisionName(serviceOf(endpoint), number);
}

/** A user's tag as Knative takes it; undefined where the two names are too long together, or ours. */
export function userTag(service: string, tag: string): string | undefined {
  if (/^r\d+$/.test(tag) || !/^[a-z]/.test(tag)) return undefined;
  return tag.length + 1 + service.length <= LABEL_LENGTH ? tag : undefined;
}

export function endpointLabels({ id, name, project }: Pick<EndpointRoute, 'id' | 'name' | 'project'>) {
  return { [MANAGED_BY]: MANAGER, [LABEL_PROJECT]: project, [LABEL_ENDPOINT]: name, [LABEL_ENDPOINT_ID]: id };
}
