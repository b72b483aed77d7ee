/** Which outputs of an endpoint are counted: what a rollout in flight compares, and what its settings name. */
import type { Db } from '../../schema.js';

/** Outputs that rollouts in flight compare, by endpoint. */
export async function readComparedOutputs(
  db: Db,
  endpointIds: readonly string[] | undefined,
): Promise<Map<string, string[]>> {
  const rollouts = await db
    .selectFrom('rollouts')
    .select(['endpoint_id', 'plan'])
    .where('ended_at', 'is', null)
    .$if(endpointIds !== undefined, (query) => query.where('endpoint_id', 'in', endpointIds ?? []))
    .execute();
  return new Map(
    rollouts.map(({ endpoint_id, plan }) => [
      endpoint_id,
      plan.analysis.metrics.flatMap((metric) => (metric.kind === 'drift' ? [metric.output] : [])),
    ]),
  );
}

/** Both together; undefined where there are none. */
export function outputsOf(
  always: readonly string[] | undefined,
  compared: readonly string[] | undefined,
): readonly string[] | undefined {
  const names = new Set([...(always ?? []), ...(compared ?? [])]);
  return names.size === 0 ? undefined : [...names];
}
