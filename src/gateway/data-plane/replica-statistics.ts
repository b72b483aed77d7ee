import type { Fleet } from '../../core/fleet.js';
import { ask } from '../../core/inference/forward.js';
import type { PooledReplica } from '../../core/inference/pool.js';
import { type EndpointRoute, modelNameOf, type RevisionRoute } from '../../core/inference/route.js';
import { addStatistics, type ModelStatistics, type StatisticsAnswer } from '../../protocol/statistics.js';

/** A replica that does not tell within this is left out. */
const ANSWER_MS = 2000;
const NO_BODY = Buffer.alloc(0);

/** What the replicas of a revision that run now did, together. */
export async function statisticsOf(
  fleet: Fleet,
  endpoint: EndpointRoute,
  revision: RevisionRoute,
): Promise<ModelStatistics> {
  const replicas = await fleet.replicas(revision);
  const parts = await Promise.all(replicas.map((replica) => askReplica(replica, modelNameOf(revision))));
  return addStatistics(endpoint.name, String(revision.number), parts.flat());
}

async function askReplica({ forward }: PooledReplica, model: string): Promise<readonly ModelStatistics[]> {
  const path = `/v2/models/${encodeURIComponent(model)}/stats`;
  const { reply, cancel } = ask(forward, { method: 'GET', path, headers: {}, body: NO_BODY });
  const timer = setTimeout(cancel, ANSWER_MS);
  try {
    const { status, body } = await reply;
    if (status !== 200) return [];
    return (JSON.parse(body.toString('utf8')) as StatisticsAnswer).model_stats;
  } catch {
    // one that is just going away, or is no server of ours
    return [];
  } finally {
    clearTimeout(timer);
  }
}
