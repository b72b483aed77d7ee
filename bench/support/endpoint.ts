import type { GatewayProcess, ServeOptions } from '../../tests/support/gateway-process.js';
import { post } from './post.js';
import { httpPrediction, rowsOf } from './predictions.js';
import { family } from './proc.js';
import type { Target } from './sample.js';

/** Serves a version on one replica that always runs, and waits for its first prediction. */
export async function serveTarget(
  gateway: GatewayProcess,
  endpoint: string,
  version: { readonly model: string; readonly number: number },
  options: ServeOptions,
): Promise<Target> {
  const scaling = { minReplicas: 1, maxReplicas: 1, ...options.scaling };
  await gateway.serve(endpoint, version.model, version.number, { ...options, scaling });
  const target = {
    url: `${gateway.url}/v2/models/${endpoint}/infer`,
    headers: { authorization: `Bearer ${gateway.key}` },
    pids: () => family(gateway.pid),
  };
  await post(target.url, httpPrediction('json', rowsOf(1)), target.headers);
  return target;
}
