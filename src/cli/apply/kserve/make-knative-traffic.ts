/** Brings an endpoint's traffic to what a Knative Service says. */
import { type Endpoint, type EndpointSummary, listOf, orMissing, trafficText } from '../../api-types.js';
import { CliError, EXIT, usageError } from '../../exit.js';
import type { Session } from '../../session.js';
import type { Outcome } from '../outcome.js';
import type { TrafficPlan } from './knative-service.js';
import { knativeServiceName, numberedTargets } from './knative-service.js';
import { sameTraffic } from './traffic.js';

export async function makeKnativeTraffic(
  session: Session,
  { name, plan }: { readonly name: string; readonly plan: TrafficPlan },
): Promise<Outcome> {
  const { client, signal } = session;
  const endpoint = await endpointOf(session, name);
  const path = `/api/v1/endpoints/${encodeURIComponent(endpoint.name)}`;
  const newest = endpoint.revisions[0];
  if (!newest) throw usageError(`endpoint "${endpoint.name}" has no revisions yet`);
  const targets = numberedTargets(plan.targets, newest.number);
  if (typeof targets === 'string') throw usageError(`spec.traffic: ${targets}`);
  const detail = `endpoint ${endpoint.name}: traffic ${trafficText(targets)}`;
  if (sameTraffic(targets, endpoint.traffic)) return { action: 'unchanged', detail, result: endpoint };
  const json = { targets, generation: endpoint.generation, reason: `Service ${name} applied` };
  await client.put(`${path}/traffic`, { json, signal });
  return { action: 'updated', detail, result: (await client.get<Endpoint>(path, { signal })).body };
}

/** The endpoint of this name, or the one that the Knative Service of this name was made for. */
async function endpointOf(session: Session, name: string): Promise<Endpoint> {
  const { client, signal } = session;
  const get = (endpoint: string) =>
    client.get<Endpoint>(`/api/v1/endpoints/${encodeURIComponent(endpoint)}`, { signal });
  const named = (await orMissing(get(name)))?.body;
  if (named) return named;
  const all = listOf<EndpointSummary>((await client.get<unknown>('/api/v1/endpoints', { signal })).body, 'endpoints');
  const made = all.find((one) => knativeServiceName(one.name, one.id) === name);
  if (made) return (await get(made.name)).body;
  throw new CliError(
    `there is no endpoint "${name}", and none whose Knative Service has this name`,
    EXIT.notFound,
    'a Service moves the traffic of an endpoint; what makes one is an InferenceService or an Endpoint',
  );
}
