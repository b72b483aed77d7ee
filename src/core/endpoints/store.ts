/** Endpoints, their revisions and their traffic in Postgres. Every change of traffic is a compare-and-set with a history. */
import { sql } from 'kysely';
import { AppError } from '../../errors.js';
import { emit } from '../events/store.js';
import { newId } from '../id.js';
import { checkRules } from '../inference/routing/check-rules.js';
import { getModel, getVersion } from '../models/store.js';
import type { Db } from '../schema.js';
import { type EndpointSpec, type Scaling, type TrafficTarget, trafficSchema } from './endpoint.js';
import type { RuntimeSettings } from './runtime.js';

/** Tells every gateway that the routing of an endpoint changed; delivered when the transaction commits. */
export async function notifyRouting(db: Db, endpointId: string): Promise<void> {
  await sql`select pg_notify('sluice_routing', ${endpointId})`.execute(db);
}

export async function createEndpoint(db: Db, project: string, spec: EndpointSpec): Promise<string> {
  return db.transaction().execute((tx) => createEndpointIn(tx, project, spec));
}

/** The same within the caller's transaction, which makes so many revisions of it at once. */
export async function createEndpointIn(tx: Db, project: string, spec: EndpointSpec, revisions = 0): Promise<string> {
  checkRules(spec.name, spec.routing.rules, revisions);
  await getModel(tx, project, spec.model);
  const id = newId('ep');
  const made = await tx
    .insertInto('endpoints')
    .values({
      id,
      project,
      name: spec.name,
      model: spec.model,
      access: spec.access,
      scaling: JSON.stringify(spec.scaling),
      routing: JSON.stringify(spec.routing),
      policy: JSON.stringify(spec.policy),
      runtime: JSON.stringify(spec.runtime),
      placement: JSON.stringify(spec.placement),
      payload_log: spec.payloadLog && JSON.stringify(spec.payloadLog),
      response_cache: JSON.stringify(spec.responseCache),
      traffic: '[]',
      generation: 0,
      last_revision: 0,
    })
    .onConflict((conflict) => conflict.doNothing())
    .executeTakeFirst();
  if (made.numInsertedOrUpdatedRows === 0n)
    throw new AppError('conflict', `endpoint "${spec.name}" exists already`, { details: { endpoint: spec.name } });
  await emit(tx, {
    project,
    kind: 'endpoint.created',
    subject: `endpoint/${spec.name}`,
    data: { endpoint: spec.name, model: spec.model },
  });
  await notifyRouting(tx, id);
  return id;
}

/** Changes an endpoint's settings. The model stays: another model is another endpoint. Revisions that are there keep theirs. */
export async function updateEndpoint(db: Db, project: string, spec: EndpointSpec): Promise<void> {
  await db.transaction().execute(async (tx) => {
    const endpoint = await getEndpoint(tx, project, spec.name);
    if (endpoint.model !== spec.model) {
      throw new AppError(
        'invalid',
        `endpoint "${spec.name}" serves model "${endpoint.model}"; it cannot change to "${spec.model}"`,
        {
          details: { field: 'model', value: spec.model },
        },
      );
    }
    checkRules(spec.name, spec.routing.rules, endpoint.last_revision);
    await tx
      .updateTable('endpoints')
      .set({
        access: spec.access,
        scaling: JSON.stringify(spec.scaling),
        routing: JSON.stringify(spec.routing),
        policy: JSON.stringify(spec.policy),
        runtime: JSON.stringify(spec.runtime),
        placement: JSON.stringify(spec.placement),
        payload_log: spec.payloadLog && JSON.stringify(spec.payloadLog),
        response_cache: JSON.stringify(spec.responseCache),
      })
      .where('id', '=', endpoint.id)
      .execute();
    await emit(tx, {
      project,
      kind: 'endpoint.updated',
      subject: `endpoint/${spec.name}`,
      data: { endpoint: spec.name },
    });
    await notifyRouting(tx, endpoint.id);
  });
}

export async function endpointExists(db: Db, project: string, name: string): Promise<boolean> {
  const found = await db
    .selectFrom('endpoints')
    .select('id')
    .where('project', '=', project)
    .where('name', '=', name)
    .where('deleted_at', 'is', null)
    .executeTakeFirst();
  return found !== undefined;
}

export async function listEndpoints(db: Db, project: string) {
  return db
    .selectFrom('endpoints')
    .selectAll()
    .where('project', '=', project)
    .where('deleted_at', 'is', null)
    .orderBy('name')
    .execute();
}

export async function getEndpoint(db: Db, project: string, name: string) {
  const endpoint = await db
    .selectFrom('endpoints')
    .selectAll()
    .where('project', '=', project)
    .where('name', '=', name)
    .where('deleted_at', 'is', null)
    .executeTakeFirst();
  if (!endpoint) throw new AppError('not_found', `there is no endpoint "${name}"`, { details: { endpoint: name } });
  return endpoint;
}

/** The endpoint, locked until the caller's transaction ends: nobody else moves its traffic meanwhile. */
export async function lockEndpoint(tx: Db, project: string, name: string) {
  const { id } = await getEndpoint(tx, project, name);
  const endpoint = await tx
    .selectFrom('endpoints')
    .selectAll()
    .where('id', '=', id)
    .where('deleted_at', 'is', null)
    .forUpdate()
    .executeTakeFirst();
  if (!endpoint) throw new AppError('not_found', `there is no endpoint "${name}"`, { details: { endpoint: name } });
  return endpoint;
}

/** Deletes an endpoint: its rollout in flight ends as aborted, its replicas go, its history stays. */
export async function deleteEndpoint(db: Db, project: string, name: string, actor: string): Promise<void> {
  await db.transaction().execute(async (tx) => {
    const endpoint = await getEndpoint(tx, project, name);
    const now = new Date();
    const reason = `endpoint deleted by ${actor}`;
    const done = await tx
      .updateTable('endpoints')
      .set({ deleted_at: now })
      .where('id', '=', endpoint.id)
      .where('deleted_at', 'is', null)
      .executeTakeFirst();
    if (done.numUpdatedRows === 0n) throw new AppError('not_found', `endpoint "${name}" was deleted by somebody else`);
    const rollouts = await tx
      .updateTable('rollouts')
      .set({ state: 'aborted', reason, ended_at: now })
      .where('endpoint_id', '=', endpoint.id)
      .where('ended_at', 'is', null)
      .returning('id')
      .execute();
    const promotions = await tx
      .updateTable('promotions')
      .set({ state: 'aborted', reason, ended_at: now })
      .where('endpoint_id', '=', endpoint.id)
      .where('ended_at', 'is', null)
      .returning(['id', 'version'])
      .execute();
    for (const { id } of rollouts) {
      const data = { rollout: id, endpoint: name, message: reason };
      await emit(tx, { project, kind: 'rollout.aborted', subject: `rollout/${id}`, data });
    }
    for (const { id, version } of promotions) {
      const data = { promotion: id, endpoint: name, model: endpoint.model, version, reason };
      await emit(tx, { project, kind: 'promotion.aborted', subject: `promotion/${id}`, data });
    }
    await emit(tx, { project, kind: 'endpoint.deleted', subject: `endpoint/${name}`, data: { endpoint: name, actor } });
    await notifyRouting(tx, endpoint.id);
  });
}

export async function listRevisions(db: Db, endpointId: string) {
  return db
    .selectFrom('revisions')
    .selectAll()
    .where('endpoint_id', '=', endpointId)
    .orderBy('number', 'desc')
    .execute();
}

export interface NewRevision {
  readonly endpointId: string;
  readonly version: number;
  readonly scaling?: Scaling;
  readonly runtime?: RuntimeSettings;
  readonly reason: string;
  /** Keep it warm until then. */
  readonly warmUntil?: Date;
}

/** Makes the next revision of an endpoint from a model version, with no traffic yet. Within the caller's transaction. */
export async function createRevision(tx: Db, input: NewRevision): Promise<number> {
  const endpoint = await tx
    .selectFrom('endpoints')
    .selectAll()
    .where('id', '=', input.endpointId)
    .where('deleted_at', 'is', null)
    .forUpdate()
    .executeTakeFirst();
  if (!endpoint) throw new AppError('not_found', 'the endpoint was deleted');
  const version = await getVersion(tx, endpoint.project, endpoint.model, input.version);
  const number = endpoint.last_revision + 1;
  await tx.updateTable('endpoints').set({ last_revision: number }).where('id', '=', endpoint.id).execute();
  await tx
    .insertInto('revisions')
    .values({
      endpoint_id: endpoint.id,
      number,
      model: endpoint.model,
      model_version: input.version,
      artifact: JSON.stringify(version.artifact),
      framework: version.framework,
      scaling: JSON.stringify(input.scaling ?? endpoint.scaling),
      runtime: JSON.stringify(input.runtime ?? endpoint.runtime),
      placement: JSON.stringify(endpoint.placement),
      server: version.server === null ? null : JSON.stringify(version.server),
      warm_until: input.warmUntil ?? null,
      reason: input.reason,
    })
    .execute();
  await emit(tx, {
    project: endpoint.project,
    kind: 'revision.created',
    subject: `endpoint/${endpoint.name}`,
    data: { endpoint: endpoint.name, revision: number, model: endpoint.model, version: input.version },
  });
  await notifyRouting(tx, endpoint.id);
  return number;
}

export interface TrafficChange {
  readonly endpointId: string;
  readonly targets: readonly TrafficTarget[];
  /** The generation that the change was decided on; another one means that somebody else moved the traffic: `conflict`. */
  readonly expectGeneration?: number | undefined;
  readonly actor: string;
  readonly reason: string;
}

/** Sets an endpoint's traffic whole. Within the caller's transaction. Answers the new generation. */
export async function setTraffic(tx: Db, change: TrafficChange): Promise<number> {
  const parsed = trafficSchema.safeParse(change.targets);
  if (!parsed.success)
    throw new AppError('invalid', `traffic: ${parsed.error.issues.map((issue) => issue.message).join('; ')}`);
  const endpoint = await tx
    .selectFrom('endpoints')
    .selectAll()
    .where('id', '=', change.endpointId)
    .where('deleted_at', 'is', null)
    .forUpdate()
    .executeTakeFirst();
  if (!endpoint) throw new AppError('not_found', 'the endpoint was deleted');
  if (change.expectGeneration !== undefined && change.expectGeneration !== endpoint.generation) {
    throw new AppError(
      'conflict',
      `traffic of "${endpoint.name}" is at generation ${endpoint.generation}, not ${change.expectGeneration}: read it again`,
      {
        details: { generation: endpoint.generation },
      },
    );
  }
  for (const target of parsed.data) {
    if (target.revision > endpoint.last_revision) {
      throw new AppError('not_found', `endpoint "${endpoint.name}" has no revision ${target.revision}`, {
        details: { revision: target.revision },
      });
    }
  }
  const generation = endpoint.generation + 1;
  // what is left of a hundred is 0.1, not 0.09999999999999432
  const targets = parsed.data.map((target) => ({ ...target, percent: Number(target.percent.toFixed(9)) }));
  const traffic = JSON.stringify(targets);
  await tx.updateTable('endpoints').set({ traffic, generation }).where('id', '=', endpoint.id).execute();
  await tx
    .insertInto('traffic_changes')
    .values({
      endpoint_id: endpoint.id,
      generation,
      traffic,
      actor: change.actor,
      reason: change.reason,
      // the time of the change, not of the transaction's start: who waited for the row came later
      at: sql<Date>`clock_timestamp()`,
    })
    .execute();
  await emit(tx, {
    project: endpoint.project,
    kind: 'traffic.changed',
    subject: `endpoint/${endpoint.name}`,
    data: { endpoint: endpoint.name, generation, traffic: targets, actor: change.actor, reason: change.reason },
  });
  await notifyRouting(tx, endpoint.id);
  return generation;
}

/** Within the caller's transaction. */
export async function setSuspended(tx: Db, endpointId: string, suspended: boolean): Promise<void> {
  await tx.updateTable('endpoints').set({ suspended }).where('id', '=', endpointId).execute();
  await notifyRouting(tx, endpointId);
}

/** Traffic settings of an endpoint, newest first: what served at any time, and why. */
export async function trafficHistory(db: Db, endpointId: string, limit = 200) {
  return db
    .selectFrom('traffic_changes')
    .selectAll()
    .where('endpoint_id', '=', endpointId)
    .orderBy('generation', 'desc')
    .limit(limit)
    .execute();
}

/** The traffic setting that was in force at a moment; undefined when the endpoint had none yet. */
export async function trafficAt(db: Db, endpointId: string, at: Date) {
  return db
    .selectFrom('traffic_changes')
    .selectAll()
    .where('endpoint_id', '=', endpointId)
    .where(sql<Date>`date_trunc('milliseconds', at)`, '<=', at)
    .orderBy('generation', 'desc')
    .limit(1)
    .executeTakeFirst();
}
