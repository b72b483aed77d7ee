/** What served an endpoint at a moment, and why: one statement over the record. */
import { sql } from 'kysely';
import type { TrafficTarget } from '../endpoints/endpoint.js';
import type { Artifact, Lineage } from '../models/model.js';
import type { Db } from '../schema.js';
import type { PromotionRecord } from './promotion.js';

/** Times are texts, as they are in JSON. */
export interface ServedTarget {
  readonly revision: number;
  readonly percent: number;
  readonly tag: string | null;
  readonly version: number;
  readonly artifact: Artifact['digest'];
  readonly lineage: Lineage;
  readonly madeAt: string;
  readonly madeFor: string;
  readonly job: { readonly id: string; readonly name: string; readonly endedAt: string | null } | null;
  readonly promotion: PromotionRecord | null;
  readonly rollout: {
    readonly id: string;
    readonly stable: number;
    readonly state: string;
    /** The last that had happened in it at the moment. */
    readonly last: { readonly kind: string; readonly message: string; readonly at: string } | null;
  } | null;
}

export interface Served {
  readonly generation: number;
  readonly since: Date;
  /** Until when it was so; null: it still is. */
  readonly until: Date | null;
  readonly actor: string;
  readonly reason: string;
  readonly model: string;
  readonly traffic: TrafficTarget[];
  readonly targets: ServedTarget[];
}

/** Undefined where the endpoint had no traffic yet. */
export async function servedAt(db: Db, endpointId: string, at: Date): Promise<Served | undefined> {
  const iso = (column: string) => sql.raw(`to_char(${column} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`);
  const { rows } = await sql<Served>`
    with setting as (
      select t.* from traffic_changes t
      where t.endpoint_id = ${endpointId} and date_trunc('milliseconds', t.at) <= ${at}
      order by t.generation desc limit 1)
    select s.generation, s.at as since, s.actor, s.reason, e.model, s.traffic,
      (select n.at from traffic_changes n where n.endpoint_id = s.endpoint_id and n.generation > s.generation
        order by n.generation limit 1) as until,
      (select coalesce(json_agg(json_build_object(
          'revision', r.number, 'percent', (g.target->>'percent')::float8, 'tag', g.target->>'tag',
          'version', r.model_version, 'artifact', r.artifact->>'digest', 'lineage', v.lineage,
          'madeAt', ${iso('r.created_at')}, 'madeFor', r.reason,
          'job', (select json_build_object('id', j.id, 'name', j.name, 'endedAt', ${iso('j.ended_at')})
            from jobs j where j.id = v.lineage->>'jobId'),
          'promotion', (select json_build_object('id', p.id, 'trigger', p.trigger, 'requestedBy', p.requested_by,
              'state', p.state, 'reason', p.reason, 'champion', p.champion, 'gates', p.gates,
              'approvals', (select coalesce(json_agg(json_build_object('round', a.round, 'actor', a.actor,
                  'vote', a.verdict, 'comment', a.comment, 'at', ${iso('a.at')}) order by a.at), '[]')
                from promotion_approvals a where a.promotion_id = p.id))
            from promotions p where p.endpoint_id = r.endpoint_id and p.revision = r.number),
          'rollout', (select json_build_object('id', o.id, 'stable', o.stable, 'state', o.state,
              'last', (select json_build_object('kind', x.kind, 'message', x.message, 'at', ${iso('x.at')})
                from rollout_events x where x.rollout_id = o.id and date_trunc('milliseconds', x.at) <= ${at}
                order by x.id desc limit 1))
            from rollouts o where o.endpoint_id = r.endpoint_id and o.candidate = r.number and o.created_at <= ${at}
            order by o.created_at desc limit 1)
        ) order by (g.target->>'percent')::float8 desc, r.number), '[]')
        from jsonb_array_elements(s.traffic) g(target)
        join revisions r on r.endpoint_id = s.endpoint_id and r.number = (g.target->>'revision')::integer
        join model_versions v on v.project = e.project and v.model = r.model and v.version = r.model_version) as targets
    from setting s join endpoints e on e.id = s.endpoint_id`.execute(db);
  return rows[0];
}
