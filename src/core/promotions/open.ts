/** Promotions are opened: by the end of a job, by the move of an alias, by people, hooks and schedules. */
import type { Selectable } from 'kysely';
import { AppError } from '../../errors.js';
import { getEndpoint } from '../endpoints/store.js';
import { emit } from '../events/store.js';
import { newId } from '../id.js';
import { type AliasMove, getModel, getVersion, listAliases, moveAliasIn } from '../models/store.js';
import type { Db, Schema } from '../schema.js';
import { inService } from './champion.js';
import { wantsAlias, wantsJob } from './policy.js';
import type { Trigger } from './promotion.js';

type EndpointRow = Selectable<Schema['endpoints']>;

export interface SucceededJob {
  readonly project: string;
  readonly model: string;
  readonly version: number;
  readonly job: { readonly id: string; readonly name: string };
  /** Only this endpoint, whatever its triggers are; all of the model's endpoints that want it otherwise. */
  readonly endpoint?: string;
}

/** Opens a promotion at every endpoint whose policy wants what a job made. Within the caller's transaction. */
export async function openForJob(tx: Db, { project, model, version, job, endpoint }: SucceededJob): Promise<void> {
  for (const row of await endpointsOf(tx, project, model)) {
    if (endpoint === undefined ? wantsJob(row.policy, job.name) : row.name === endpoint)
      await open(tx, row, { version, trigger: { on: 'job_succeeded', job: job.id }, jobId: job.id });
  }
}

/** An alias is moved by hand or by a program of the user's; endpoints that follow it take the version up. Answers their promotions. */
export async function moveFollowedAlias(db: Db, move: AliasMove): Promise<string[]> {
  return db.transaction().execute(async (tx) => {
    const { project, model, alias, to } = move;
    const endpoints = (await endpointsOf(tx, project, model)).filter((row) => wantsAlias(row.policy, alias));
    // the endpoints before the model's row, in one order, as everybody
    for (const { id } of endpoints)
      await tx.selectFrom('endpoints').select('id').where('id', '=', id).forUpdate().execute();
    const moved = await moveAliasIn(tx, move);
    if (!moved || to === null) return [];
    const opened: string[] = [];
    for (const row of endpoints) {
      if ((await inService(tx, row)).champion?.version === to) continue;
      const { id } = await open(tx, row, {
        version: to,
        trigger: { on: 'alias_moved', alias },
        requestedBy: move.actor,
      });
      opened.push(id);
    }
    return opened;
  });
}

export interface PromotionRequest {
  readonly project: string;
  readonly endpoint: string;
  readonly version: number;
  /** Who asks, where a person does. */
  readonly actor: string | null;
  readonly trigger?: Trigger;
}

/** Asks for a version to be taken through an endpoint's gates now. The promotion that is under way is answered when there is one. */
export async function requestPromotion(
  db: Db,
  { project, endpoint, version, actor, trigger = { on: 'request' } }: PromotionRequest,
): Promise<{ id: string; created: boolean }> {
  return db.transaction().execute(async (tx) => {
    const row = await getEndpoint(tx, project, endpoint);
    await getVersion(tx, project, row.model, version);
    return open(tx, row, { version, trigger, requestedBy: actor });
  });
}

/** The version that `latest` or an alias stands for. */
export async function versionNamed(db: Db, project: string, model: string, name: string): Promise<number> {
  const version =
    name === 'latest'
      ? (await getModel(db, project, model)).last_version
      : (await listAliases(db, project, model)).find((row) => row.alias === name)?.version;
  if (version) return version;
  const what = name === 'latest' ? 'no version yet' : `no alias "${name}"`;
  throw new AppError('not_found', `model "${model}" has ${what}`, { details: { model, version: name } });
}

export interface NewPromotion {
  readonly version: number;
  readonly trigger: Trigger;
  readonly jobId?: string;
  readonly requestedBy?: string | null;
}

/** Opens a promotion, or answers the one of this version that is under way. Within the caller's transaction. */
export async function open(
  tx: Db,
  endpoint: EndpointRow,
  { version, trigger, jobId, requestedBy }: NewPromotion,
): Promise<{ id: string; created: boolean }> {
  // two who ask at the same time take turns
  const { traffic } = await tx
    .selectFrom('endpoints')
    .select('traffic')
    .where('id', '=', endpoint.id)
    .forUpdate()
    .executeTakeFirstOrThrow();
  const before = await tx
    .selectFrom('promotions')
    .select('id')
    .where('endpoint_id', '=', endpoint.id)
    .where('model', '=', endpoint.model)
    .where('version', '=', version)
    .where('ended_at', 'is', null)
    .executeTakeFirst();
  if (before) return { id: before.id, created: false };
  const id = newId('pr');
  await tx
    .insertInto('promotions')
    .values({
      id,
      project: endpoint.project,
      endpoint_id: endpoint.id,
      endpoint: endpoint.name,
      model: endpoint.model,
      version,
      job_id: jobId ?? null,
      state: 'pending',
      gates: '[]',
      reason: '',
      trigger: JSON.stringify(trigger),
      requested_by: requestedBy ?? null,
      opened_over: (await inService(tx, { id: endpoint.id, traffic })).newest,
    })
    .execute();
  await emit(tx, {
    project: endpoint.project,
    kind: 'promotion.opened',
    subject: `promotion/${id}`,
    data: { promotion: id, endpoint: endpoint.name, model: endpoint.model, version, job: jobId ?? null, trigger },
  });
  return { id, created: true };
}

function endpointsOf(tx: Db, project: string, model: string): Promise<EndpointRow[]> {
  return tx
    .selectFrom('endpoints')
    .selectAll()
    .where('project', '=', project)
    .where('model', '=', model)
    .where('deleted_at', 'is', null)
    .orderBy('id')
    .execute();
}
