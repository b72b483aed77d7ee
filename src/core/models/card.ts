/** A version's model card, made from the record: nothing in it is written by hand. */
import { sql } from 'kysely';
import type { Signature } from '../../protocol/signature.js';
import type { PromotionRecord } from '../promotions/promotion.js';
import type { Db } from '../schema.js';
import type { Artifact, Lineage } from './model.js';
import { getVersion } from './store.js';

/** Times are texts, as they are in JSON. */
export interface CardJob {
  readonly id: string;
  readonly name: string;
  readonly attempt: number;
  readonly code: string;
  readonly entrypoint: string;
  readonly params: Readonly<Record<string, unknown>>;
  readonly requirements: readonly string[];
  readonly image: string | null;
  readonly resources: Readonly<Record<string, number>>;
  /** Names alone: what they are set to may be secret. */
  readonly environment: readonly string[];
  readonly startedAt: string | null;
  readonly endedAt: string | null;
}

export interface CardPromotion extends PromotionRecord {
  readonly endpoint: string;
  readonly createdAt: string;
  readonly endedAt: string | null;
  readonly rollout: {
    readonly id: string;
    readonly candidate: number;
    readonly stable: number;
    readonly state: string;
    readonly reason: string;
    readonly events: readonly { readonly kind: string; readonly message: string; readonly at: string }[];
  } | null;
}

/** A time through which revisions of the version had traffic at an endpoint. */
export interface CardService {
  readonly endpoint: string;
  readonly revision: number;
  readonly from: string;
  /** Null: it still has. */
  readonly until: string | null;
  /** The most it had. */
  readonly percent: number;
}

export interface ModelCard {
  readonly model: string;
  readonly description: string;
  readonly version: number;
  readonly registeredAt: string;
  readonly framework: string;
  readonly artifact: Artifact;
  readonly signature: Signature;
  readonly metrics: Readonly<Record<string, number>>;
  readonly lineage: Lineage;
  /** By digest: what it was made from, as far as known, and what gates read. */
  readonly datasets: readonly { readonly digest: string; readonly name: string | null; readonly use: string }[];
  readonly aliases: readonly string[];
  readonly job: CardJob | null;
  readonly promotions: readonly CardPromotion[];
  readonly served: readonly CardService[];
}

const iso = (column: string) => sql.raw(`to_char(${column} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`);

/** `not_found` where there is no such version. */
export async function readCard(db: Db, project: string, model: string, version: number): Promise<ModelCard> {
  const row = await getVersion(db, project, model, version);
  const { rows } = await sql<Pick<ModelCard, 'description' | 'aliases' | 'job' | 'promotions'>>`
    select m.description,
      (select coalesce(json_agg(a.alias order by a.alias), '[]') from model_aliases a
        where (a.project, a.model, a.version) = (m.project, m.name, ${version}::integer)) as aliases,
      (select json_build_object('id', j.id, 'name', j.name, 'attempt', j.attempt, 'code', j.spec->>'code',
          'entrypoint', j.spec->>'entrypoint', 'params', j.spec->'params', 'requirements', j.spec->'requirements',
          'image', j.spec->>'image', 'resources', j.spec->'resources',
          'environment', (select coalesce(json_agg(name order by name), '[]')
            from jsonb_object_keys(coalesce(j.spec->'env', '{}')) name),
          'startedAt', ${iso('j.started_at')}, 'endedAt', ${iso('j.ended_at')})
        from jobs j where j.project = m.project and j.id = ${row.lineage.jobId ?? ''}) as job,
      (select coalesce(json_agg(json_build_object('id', p.id, 'endpoint', p.endpoint, 'trigger', p.trigger,
          'requestedBy', p.requested_by, 'state', p.state, 'reason', p.reason, 'champion', p.champion, 'gates', p.gates,
          'createdAt', ${iso('p.created_at')}, 'endedAt', ${iso('p.ended_at')},
          'approvals', (select coalesce(json_agg(json_build_object('round', a.round, 'actor', a.actor,
              'vote', a.verdict, 'comment', a.comment, 'at', ${iso('a.at')}) order by a.at), '[]')
            from promotion_approvals a where a.promotion_id = p.id),
          'rollout', (select json_build_object('id', o.id, 'candidate', o.candidate, 'stable', o.stable,
              'state', o.state, 'reason', o.reason,
              'events', (select coalesce(json_agg(json_build_object('kind', x.kind, 'message', x.message,
                  'at', ${iso('x.at')}) order by x.id), '[]') from rollout_events x where x.rollout_id = o.id))
            from rollouts o where o.id = p.rollout_id)) order by p.created_at), '[]')
        from promotions p where (p.project, p.model, p.version) = (m.project, m.name, ${version}::integer)) as promotions
    from models m where m.project = ${project} and m.name = ${model}`.execute(db);
  const facts = rows[0] ?? { description: '', aliases: [], job: null, promotions: [] };
  return {
    model,
    version,
    registeredAt: row.created_at.toISOString(),
    framework: row.framework,
    artifact: row.artifact,
    signature: row.signature,
    metrics: row.metrics,
    lineage: row.lineage,
    ...facts,
    datasets: await datasetsOf(db, project, row.lineage, facts.promotions),
    served: await serviceOf(db, project, model, version),
  };
}

async function datasetsOf(
  db: Db,
  project: string,
  lineage: Lineage,
  promotions: readonly CardPromotion[],
): Promise<ModelCard['datasets']> {
  const uses = new Map<string, string>((lineage.data ?? []).map((digest) => [digest, 'training']));
  for (const { gates } of promotions) {
    for (const { gate, evidence } of gates) {
      if (typeof evidence.digest === 'string' && !uses.has(evidence.digest)) uses.set(evidence.digest, `${gate} gate`);
    }
  }
  if (uses.size === 0) return [];
  const names = await db
    .selectFrom('datasets')
    .select(['digest', 'name', 'version'])
    .where('project', '=', project)
    .where('digest', 'in', [...uses.keys()])
    .execute();
  return [...uses].map(([digest, use]) => {
    const named = names.find((one) => one.digest === digest);
    return { digest, use, name: named ? `${named.name}, version ${named.version}` : null };
  });
}

/** Each revision's times with traffic: settings of the traffic that follow each other are one time (gaps and islands). */
async function serviceOf(db: Db, project: string, model: string, version: number): Promise<CardService[]> {
  const { rows } = await sql<CardService>`
    with shares as (
      select e.name as endpoint, c.endpoint_id, c.generation, c.at, r.number as revision,
        lead(c.at) over (partition by c.endpoint_id, r.number order by c.generation) as next_at,
        coalesce((select max((g->>'percent')::float8) from jsonb_array_elements(c.traffic) g
          where (g->>'revision')::integer = r.number), 0) as percent
      from revisions r join endpoints e on e.id = r.endpoint_id join traffic_changes c on c.endpoint_id = e.id
      where e.project = ${project} and r.model = ${model} and r.model_version = ${version}),
    islands as (
      select *, generation - row_number() over (partition by endpoint_id, revision order by generation) as island
      from shares where percent > 0)
    select i.endpoint, i.revision, max(i.percent) as percent, ${iso('min(i.at)')} as "from",
      -- the end of a time is that of its last setting; it still has traffic where that is in force
      case when bool_or(i.next_at is null) then ${iso('max(e.deleted_at)')} else ${iso('max(i.next_at)')} end as until
    from islands i join endpoints e on e.id = i.endpoint_id
    group by i.endpoint, i.endpoint_id, i.revision, i.island order by min(i.at)`.execute(db);
  return rows;
}
