/** Where a cluster's revisions answer, and why they do not. */
import { type RawBuilder, sql } from 'kysely';
import type { RevisionAddress } from '../inference/route.js';
import type { Db } from '../schema.js';
import { notifyRouting } from './store.js';

export interface AddressNote {
  readonly endpointId: string;
  readonly revision: number;
  /** `keep`: what is known already stays. Undefined: it answers nowhere. */
  readonly address: RevisionAddress | 'keep' | undefined;
  /** Why it does not answer; empty when it does or nothing is known. */
  readonly problem: string;
}

/** Notes it where it is new, and tells the gateways. Nothing is written unless `holds` is true in the database then. */
export async function noteAddress(db: Db, note: AddressNote, holds: RawBuilder<boolean>): Promise<boolean> {
  const { endpointId, revision, address, problem } = note;
  const keep = address === 'keep';
  const { url = null, host = null } = address === undefined || keep ? {} : address;
  return db.transaction().execute(async (tx) => {
    const { numAffectedRows = 0n } = await sql`
      insert into revision_addresses as a (endpoint_id, revision, url, host, problem)
      select r.endpoint_id, r.number, ${url}, ${host ?? null}, ${problem} from revisions r
      where r.endpoint_id = ${endpointId} and r.number = ${revision} and ${holds}
      on conflict (endpoint_id, revision) do update set
        url = case when ${keep} then a.url else excluded.url end,
        host = case when ${keep} then a.host else excluded.host end,
        problem = excluded.problem, updated_at = now()
      where a.problem <> excluded.problem
        or not ${keep}::boolean and (a.url is distinct from excluded.url or a.host is distinct from excluded.host)
    `.execute(tx);
    if (numAffectedRows === 0n) return false;
    await notifyRouting(tx, endpointId);
    return true;
  });
}

/** What became of an endpoint that no routing names. */
export async function whatBecameOf(db: Db, endpointId: string): Promise<'lives' | 'deleted' | 'unknown'> {
  const row = await db.selectFrom('endpoints').select('deleted_at').where('id', '=', endpointId).executeTakeFirst();
  if (!row) return 'unknown';
  return row.deleted_at === null ? 'lives' : 'deleted';
}
