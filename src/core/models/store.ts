/** The registry: models, their immutable versions, and aliases that move by compare-and-set and remember where they were. */

import { AppError } from '../../errors.js';
import type { Signature } from '../../protocol/signature.js';
import { emit } from '../events/store.js';
import type { Db } from '../schema.js';
import type { Artifact, Lineage } from './model.js';
import type { ServerSpec } from './server.js';

export interface NewVersion {
  readonly project: string;
  readonly model: string;
  readonly artifact: Artifact;
  readonly framework: string;
  readonly signature: Signature;
  /** Of a version that somebody else's server serves. */
  readonly server?: ServerSpec | undefined;
  readonly metrics: Readonly<Record<string, number>>;
  readonly lineage: Lineage;
  /** Identity of what it was made from: registering the same source again answers the version that stands. */
  readonly source: string;
}

export async function createModel(db: Db, project: string, name: string, description = ''): Promise<boolean> {
  const made = await db
    .insertInto('models')
    .values({ project, name, description, last_version: 0 })
    .onConflict((conflict) => conflict.doNothing())
    .executeTakeFirst();
  return made.numInsertedOrUpdatedRows === 1n;
}

/** Registers a version under the next number. `created` is false when this source was registered before. */
export async function registerVersion(db: Db, input: NewVersion): Promise<{ version: number; created: boolean }> {
  return db.transaction().execute(async (tx) => {
    await createModel(tx, input.project, input.model);
    // the model's row is locked here, so two registrations of one model take turns and numbers have no gaps
    const model = await tx
      .selectFrom('models')
      .select('last_version')
      .where('project', '=', input.project)
      .where('name', '=', input.model)
      .forUpdate()
      .executeTakeFirstOrThrow();
    const before = await tx
      .selectFrom('model_versions')
      .select('version')
      .where('project', '=', input.project)
      .where('model', '=', input.model)
      .where('source', '=', input.source)
      .executeTakeFirst();
    if (before) return { version: before.version, created: false };
    const version = model.last_version + 1;
    await tx
      .updateTable('models')
      .set({ last_version: version })
      .where('project', '=', input.project)
      .where('name', '=', input.model)
      .execute();
    await tx
      .insertInto('model_versions')
      .values({
        project: input.project,
        model: input.model,
        version,
        artifact: JSON.stringify(input.artifact),
        framework: input.framework,
        signature: JSON.stringify(input.signature),
        server: input.server === undefined ? null : JSON.stringify(input.server),
        metrics: JSON.stringify(input.metrics),
        lineage: JSON.stringify(input.lineage),
        source: input.source,
      })
      .execute();
    await emit(tx, {
      project: input.project,
      kind: 'version.registered',
      subject: `model/${input.model}`,
      data: { model: input.model, version, digest: input.artifact.digest, jobId: input.lineage.jobId ?? null },
    });
    return { version, created: true };
  });
}

/** The version that was made from this source, if it was registered. */
export async function findBySource(db: Db, project: string, model: string, source: string) {
  return db
    .selectFrom('model_versions')
    .selectAll()
    .where('project', '=', project)
    .where('model', '=', model)
    .where('source', '=', source)
    .executeTakeFirst();
}

export async function listModels(db: Db, project: string) {
  return db.selectFrom('models').selectAll().where('project', '=', project).orderBy('name').execute();
}

export async function getModel(db: Db, project: string, name: string) {
  const model = await db
    .selectFrom('models')
    .selectAll()
    .where('project', '=', project)
    .where('name', '=', name)
    .executeTakeFirst();
  if (!model) throw new AppError('not_found', `there is no model "${name}"`, { details: { model: name } });
  return model;
}

export async function listVersions(db: Db, project: string, model: string) {
  return db
    .selectFrom('model_versions')
    .selectAll()
    .where('project', '=', project)
    .where('model', '=', model)
    .orderBy('version', 'desc')
    .execute();
}

export async function getVersion(db: Db, project: string, model: string, version: number) {
  const row = await db
    .selectFrom('model_versions')
    .selectAll()
    .where('project', '=', project)
    .where('model', '=', model)
    .where('version', '=', version)
    .executeTakeFirst();
  if (!row)
    throw new AppError('not_found', `model "${model}" has no version ${version}`, { details: { model, version } });
  return row;
}

export async function listAliases(db: Db, project: string, model: string) {
  return db
    .selectFrom('model_aliases')
    .selectAll()
    .where('project', '=', project)
    .where('model', '=', model)
    .orderBy('alias')
    .execute();
}

export async function aliasHistory(db: Db, project: string, model: string, alias: string) {
  return db
    .selectFrom('alias_changes')
    .selectAll()
    .where('project', '=', project)
    .where('model', '=', model)
    .where('alias', '=', alias)
    .orderBy('id', 'desc')
    .limit(1000)
    .execute();
}

export interface AliasMove {
  readonly project: string;
  readonly model: string;
  readonly alias: string;
  /** The version it shall name; null removes the alias. */
  readonly to: number | null;
  /** The version that it must name now (null: must not exist); undefined moves it wherever it is. */
  readonly expect?: number | null | undefined;
  readonly actor: string;
  readonly reason: string;
}

/** Moves an alias, or refuses with `conflict` when it is not where the caller saw it. */
export async function moveAlias(db: Db, move: AliasMove): Promise<void> {
  await db.transaction().execute(async (tx) => {
    await moveAliasIn(tx, move);
  });
}

/** The same within the caller's transaction. False when it named that version already. */
export async function moveAliasIn(tx: Db, move: AliasMove): Promise<boolean> {
  const { project, model, alias, to } = move;
  // the model's row is the lock: an alias that does not exist yet has no row to lock
  const owner = await tx
    .selectFrom('models')
    .select('name')
    .where('project', '=', project)
    .where('name', '=', model)
    .forUpdate()
    .executeTakeFirst();
  if (!owner) throw new AppError('not_found', `there is no model "${model}"`, { details: { model } });
  if (to !== null) await getVersion(tx, project, model, to);
  const current = await tx
    .selectFrom('model_aliases')
    .select('version')
    .where('project', '=', project)
    .where('model', '=', model)
    .where('alias', '=', alias)
    .executeTakeFirst();
  const from = current?.version ?? null;
  if (move.expect !== undefined && move.expect !== from) {
    const is = from === null ? 'does not exist' : `names version ${from}`;
    const expected = move.expect === null ? 'not to exist' : `to name version ${move.expect}`;
    throw new AppError('conflict', `alias "${alias}" of model "${model}" ${is}; it was expected ${expected}`, {
      details: { alias, current: from },
    });
  }
  if (from === to) return false;
  if (to === null) {
    await tx
      .deleteFrom('model_aliases')
      .where('project', '=', project)
      .where('model', '=', model)
      .where('alias', '=', alias)
      .execute();
  } else {
    await tx
      .insertInto('model_aliases')
      .values({ project, model, alias, version: to })
      .onConflict((conflict) =>
        conflict.columns(['project', 'model', 'alias']).doUpdateSet({ version: to, updated_at: new Date() }),
      )
      .execute();
  }
  await tx
    .insertInto('alias_changes')
    .values({ project, model, alias, from_version: from, to_version: to, actor: move.actor, reason: move.reason })
    .execute();
  await emit(tx, {
    project,
    kind: 'alias.moved',
    subject: `model/${model}`,
    data: { model, alias, from, to, reason: move.reason },
  });
  return true;
}
