/** What an endpoint serves, as promotions compare with it. */

import type { Selectable } from 'kysely';
import { mainTarget } from '../endpoints/endpoint.js';
import type { Db, Schema } from '../schema.js';

type EndpointRow = Pick<Selectable<Schema['endpoints']>, 'id' | 'traffic'>;

export interface Champion {
  readonly revision: number;
  /** Of the endpoint's model. */
  readonly version: number;
}

export interface InService {
  /** The stable side of a rollout in flight, or what has the largest share of the traffic; undefined: nothing is served. */
  readonly champion: Champion | undefined;
  /** The newest version that is the champion or on its way there; 0: none. */
  readonly newest: number;
}

/** What serves an endpoint, and what is about to. Within the transaction that holds the endpoint, it stays so. */
export async function inService(db: Db, endpoint: EndpointRow): Promise<InService> {
  const rollout = await db
    .selectFrom('rollouts')
    .select(['stable', 'candidate'])
    .where('endpoint_id', '=', endpoint.id)
    .where('ended_at', 'is', null)
    .executeTakeFirst();
  const stable = rollout?.stable ?? mainTarget(endpoint.traffic)?.revision;
  if (stable === undefined) return { champion: undefined, newest: 0 };
  const revisions = await db
    .selectFrom('revisions')
    .select(['number', 'model_version'])
    .where('endpoint_id', '=', endpoint.id)
    .where('number', 'in', rollout ? [stable, rollout.candidate] : [stable])
    .execute();
  const version = revisions.find((one) => one.number === stable)?.model_version;
  return {
    champion: version === undefined ? undefined : { revision: stable, version },
    newest: Math.max(0, ...revisions.map((one) => one.model_version)),
  };
}
