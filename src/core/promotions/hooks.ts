/** Addresses that open promotions of one endpoint, and can do nothing else: for build systems and model registries. */
import { createHash, randomBytes } from 'node:crypto';
import { sql } from 'kysely';
import { AppError } from '../../errors.js';
import { getEndpoint } from '../endpoints/store.js';
import { emit } from '../events/store.js';
import { newId } from '../id.js';
import type { Db } from '../schema.js';
import { requestPromotion, versionNamed } from './open.js';

/** A token is seen once, when it is made; only its hash is kept. */
export interface MadeHook {
  readonly id: string;
  readonly token: string;
}

const hashOf = (token: string) => createHash('sha256').update(token).digest('hex');

/** 240 bits of chance. */
function newToken(): { token: string; kept: { hash: string; hint: string } } {
  const token = `hk_${randomBytes(30).toString('base64url')}`;
  return { token, kept: { hash: hashOf(token), hint: `${token.slice(0, 7)}…` } };
}

export interface NewHook {
  readonly project: string;
  readonly endpoint: string;
  readonly name: string;
  readonly actor: string;
}

export async function createHook(db: Db, { project, endpoint, name, actor }: NewHook): Promise<MadeHook> {
  return db.transaction().execute(async (tx) => {
    const row = await getEndpoint(tx, project, endpoint);
    const id = newId('hk');
    const { token, kept } = newToken();
    await tx
      .insertInto('promotion_hooks')
      .values({ id, project, endpoint_id: row.id, endpoint, name, created_by: actor, ...kept })
      .execute();
    await told(tx, { project, endpoint, id }, 'created', actor);
    return { id, token };
  });
}

/** Gives a hook another token; the old one opens nothing any more. */
export async function rotateHook(db: Db, hook: HookName): Promise<MadeHook> {
  const { token, kept } = newToken();
  await change(db, hook, { ...kept, rotated_at: new Date() }, 'rotated');
  return { id: hook.id, token };
}

export async function revokeHook(db: Db, hook: HookName): Promise<void> {
  await change(db, hook, { revoked_at: new Date() }, 'revoked');
}

export interface HookName {
  readonly project: string;
  readonly endpoint: string;
  readonly id: string;
  readonly actor: string;
}

async function change(
  db: Db,
  { project, endpoint, id, actor }: HookName,
  set: { hash?: string; hint?: string; rotated_at?: Date; revoked_at?: Date },
  what: string,
): Promise<void> {
  await db.transaction().execute(async (tx) => {
    const row = await getEndpoint(tx, project, endpoint);
    const done = await tx
      .updateTable('promotion_hooks')
      .set(set)
      .where('id', '=', id)
      .where('endpoint_id', '=', row.id)
      .where('revoked_at', 'is', null)
      .executeTakeFirst();
    if (done.numUpdatedRows === 0n)
      throw new AppError('not_found', `endpoint "${endpoint}" has no hook "${id}"`, { details: { hook: id } });
    await told(tx, { project, endpoint, id }, what, actor);
  });
}

async function told(
  tx: Db,
  { project, endpoint, id }: Omit<HookName, 'actor'>,
  what: string,
  actor: string,
): Promise<void> {
  const data = { endpoint, hook: id, actor };
  await emit(tx, { project, kind: `hook.${what}`, subject: `endpoint/${endpoint}`, data });
}

/** The hooks of an endpoint that open promotions, oldest first. */
export async function listHooks(db: Db, project: string, endpoint: string) {
  const row = await getEndpoint(db, project, endpoint);
  return db
    .selectFrom('promotion_hooks')
    .selectAll()
    .where('endpoint_id', '=', row.id)
    .where('revoked_at', 'is', null)
    .orderBy('created_at')
    .execute();
}

/** Somebody who has the token asks for a promotion: of a version, of what an alias names, or of the newest version. */
export async function pullHook(
  db: Db,
  token: string,
  wanted: { readonly version?: number | undefined; readonly alias?: string | undefined },
): Promise<{ id: string; created: boolean }> {
  const hook = await db
    .updateTable('promotion_hooks')
    .from('endpoints')
    .whereRef('endpoints.id', '=', 'promotion_hooks.endpoint_id')
    .where('endpoints.deleted_at', 'is', null)
    .where('promotion_hooks.hash', '=', hashOf(token))
    .where('promotion_hooks.revoked_at', 'is', null)
    .set((eb) => ({ used_at: sql<Date>`now()`, uses: eb('promotion_hooks.uses', '+', 1) }))
    .returning([
      'promotion_hooks.id as id',
      'promotion_hooks.name as name',
      'promotion_hooks.project as project',
      'endpoints.name as endpoint',
      'endpoints.model as model',
    ])
    .executeTakeFirst();
  // never the token: answers are logged on the other side
  if (!hook) throw new AppError('not_found', 'there is no such hook, or it was revoked');
  const { project, endpoint, model } = hook;
  const version = wanted.version ?? (await versionNamed(db, project, model, wanted.alias ?? 'latest'));
  const trigger = { on: 'hook', hook: hook.id, name: hook.name } as const;
  return requestPromotion(db, { project, endpoint, version, actor: null, trigger });
}
