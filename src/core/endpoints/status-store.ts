import type { RevisionStatus } from '../fleet.js';
import type { Db } from '../schema.js';

/** Notes what a gateway's replicas are doing. */
export async function writeStatus(db: Db, gateway: string, rows: readonly RevisionStatus[]): Promise<void> {
  if (rows.length === 0) return;
  const updated_at = new Date();
  await db
    .insertInto('revision_status')
    .values(
      rows.map((row) => ({
        endpoint_id: row.endpointId,
        revision: row.revision,
        gateway,
        ready: row.ready,
        starting: row.starting,
        draining: row.replicas.filter(({ state }) => state === 'draining').length,
        failing: row.failing,
        message: row.message,
        updated_at,
      })),
    )
    .onConflict((conflict) =>
      conflict.columns(['endpoint_id', 'revision', 'gateway']).doUpdateSet((eb) => ({
        ready: eb.ref('excluded.ready'),
        starting: eb.ref('excluded.starting'),
        draining: eb.ref('excluded.draining'),
        failing: eb.ref('excluded.failing'),
        message: eb.ref('excluded.message'),
        updated_at,
      })),
    )
    .execute();
}

/** A gateway that ends takes its reports along. */
export async function forgetGateway(db: Db, gateway: string): Promise<void> {
  await db.deleteFrom('revision_status').where('gateway', '=', gateway).execute();
}
