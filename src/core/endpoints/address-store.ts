/** Where a cluster's revisions answer, as its operator found out. */
import { sql } from 'kysely';
import type { RevisionAddress } from '../inference/route.js';
import type { Db } from '../schema.js';
import { notifyRouting } from './store.js';

export interface AddressReport {
  readonly endpointId: string;
  readonly revision: number;
  readonly address: RevisionAddress | undefined;
  /** Empty when it answers, or nothing is known. */
  readonly problem: string;
}

/** Writes what changed, and tells the gateways of it. */
export async function writeAddresses(db: Db, reports: readonly AddressReport[]): Promise<void> {
  if (reports.length === 0) return;
  await db.transaction().execute(async (tx) => {
    await tx
      .insertInto('revision_addresses')
      .values(
        reports.map(({ endpointId, revision, address, problem }) => ({
          endpoint_id: endpointId,
          revision,
          url: address?.url ?? null,
          host: address?.host ?? null,
          problem,
        })),
      )
      .onConflict((conflict) =>
        conflict.columns(['endpoint_id', 'revision']).doUpdateSet((eb) => ({
          url: eb.ref('excluded.url'),
          host: eb.ref('excluded.host'),
          problem: eb.ref('excluded.problem'),
          updated_at: sql<Date>`now()`,
        })),
      )
      .execute();
    for (const endpointId of new Set(reports.map((report) => report.endpointId))) await notifyRouting(tx, endpointId);
  });
}

/**
 * Whether an endpoint that the routing does not know is one of ours that is gone. One that this database never had may be
 * another installation's.
 */
export async function wasDeleted(db: Db, endpointId: string): Promise<boolean> {
  const row = await db.selectFrom('endpoints').select('deleted_at').where('id', '=', endpointId).executeTakeFirst();
  return row !== undefined && row.deleted_at !== null;
}
