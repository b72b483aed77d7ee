/** How many replicas a revision keeps, and how many it may have, while a rollout or its bake time asks for it. */
import type { Db } from '../schema.js';
import { notifyRouting } from './store.js';

/** Keeps a revision warm until then (null: no longer), with so many replicas, as many as before by default. Within the caller's transaction. */
export async function keepWarm(
  tx: Db,
  endpointId: string,
  revision: number,
  until: Date | null,
  replicas?: number,
): Promise<void> {
  await tx
    .updateTable('revisions')
    .set({ warm_until: until, ...(replicas === undefined ? {} : { warm_replicas: replicas }) })
    .where('endpoint_id', '=', endpointId)
    .where('number', '=', revision)
    .execute();
  await notifyRouting(tx, endpointId);
}

/** Lets a revision have at most so many replicas, none with 0; null: as its scaling says. Within the caller's transaction. */
export async function limitReplicas(tx: Db, endpointId: string, revision: number, limit: number | null): Promise<void> {
  const done = await tx
    .updateTable('revisions')
    .set({ replica_limit: limit })
    .where('endpoint_id', '=', endpointId)
    .where('number', '=', revision)
    .where('replica_limit', 'is distinct from', limit)
    .executeTakeFirst();
  if (done.numUpdatedRows > 0n) await notifyRouting(tx, endpointId);
}
