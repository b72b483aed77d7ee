/** A revision whose server runs somewhere already: nothing is made for it, but somebody must say whether it answers. */
import { request } from 'undici';
import { type EndpointRoute, type RevisionRoute, replicaFloor, revisionsInUse } from '../../core/inference/route.js';
import { messageOf } from '../../errors.js';
import type { RevisionReport } from './report.js';

const ANSWER_MS = 3000;

export async function reportOfUrl(
  endpoint: EndpointRoute,
  route: RevisionRoute,
  nowMs: number,
): Promise<RevisionReport> {
  const { url = '', readyPath = '/' } = route.server ?? {};
  const served = revisionsInUse(endpoint).has(route.number);
  // who serves nobody is left in peace
  const problem = served || replicaFloor(endpoint, route, nowMs) > 0 ? await problemAt(url, readyPath) : undefined;
  return {
    address: { url, host: undefined },
    problem: problem ?? '',
    status: {
      endpointId: route.endpointId,
      endpoint: route.endpoint,
      revision: route.number,
      ready: problem === undefined ? 1 : 0,
      starting: 0,
      busy: 0,
      waiting: 0,
      message: problem ?? 'a server of its own answers',
      failing: problem !== undefined,
      replicas: [],
    },
  };
}

async function problemAt(url: string, readyPath: string): Promise<string | undefined> {
  const words = `the server at ${url} is not ready (GET ${readyPath})`;
  try {
    const { statusCode, body } = await request(`${url.replace(/\/$/, '')}${readyPath}`, {
      signal: AbortSignal.timeout(ANSWER_MS),
    });
    await body.dump();
    return statusCode >= 200 && statusCode < 300 ? undefined : `${words}: status ${statusCode}`;
  } catch (error) {
    return `${words}: ${messageOf(error)}`;
  }
}
