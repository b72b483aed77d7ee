/** API keys in Postgres, and the table of them that a gateway keeps in memory. */
import { sql } from 'kysely';
import { AppError } from '../../errors.js';
import { emit } from '../events/store.js';
import { newId } from '../id.js';
import type { Db } from '../schema.js';
import { type Caller, hashKey, keyHint, newKey } from './key.js';

export interface NewKey {
  readonly project: string;
  readonly name: string;
  readonly role: 'admin' | 'predict';
  readonly expiresAt?: Date | undefined;
  /** Made by the platform for itself: no list shows it, and it is removed once it has expired. */
  readonly internal?: boolean;
  /** Who makes it. */
  readonly actor?: string;
}

/** Makes a key; the answer is the only time that it is seen whole. */
export async function createKey(db: Db, input: NewKey): Promise<{ id: string; key: string }> {
  const key = newKey();
  const id = newId('key');
  const { project, name, role, actor = '' } = input;
  await db.transaction().execute(async (tx) => {
    await tx
      .insertInto('api_keys')
      .values({
        id,
        project,
        name,
        hash: hashKey(key),
        hint: keyHint(key),
        role,
        expires_at: input.expiresAt ?? null,
        internal: input.internal ?? false,
      })
      .execute();
    if (!input.internal)
      await emit(tx, { project, kind: 'key.created', subject: `key/${id}`, data: { key: id, name, role, actor } });
    await notifyKeys(tx);
  });
  return { id, key };
}

/** The row of the administrator's key: one row, so that a new key in the settings ends the old one. */
const ADMIN_ID = 'key_admin';

/** Makes sure that exactly this key is the administrator's: called at start with the key of the settings or the data folder. */
export async function ensureAdminKey(db: Db, key: string): Promise<void> {
  const set = { hash: hashKey(key), hint: keyHint(key), role: 'admin', expires_at: null, revoked_at: null } as const;
  await db.transaction().execute(async (tx) => {
    // a key that was made through the API may become the administrator's
    await tx.deleteFrom('api_keys').where('hash', '=', set.hash).where('id', '<>', ADMIN_ID).execute();
    await tx
      .insertInto('api_keys')
      .values({ id: ADMIN_ID, project: 'default', name: 'admin', ...set })
      .onConflict((conflict) => conflict.column('id').doUpdateSet(set))
      .execute();
    await notifyKeys(tx);
  });
}

export async function listKeys(db: Db, project: string) {
  return db
    .selectFrom('api_keys')
    .selectAll()
    .where('project', '=', project)
    .where('internal', '=', false)
    .orderBy('created_at')
    .execute();
}

/** Removes keys that the platform made for itself and that have expired. */
export async function forgetInternalKeys(db: Db): Promise<void> {
  await db
    .deleteFrom('api_keys')
    .where('internal', '=', true)
    .where('expires_at', '<', sql<Date>`now() - interval '1 minute'`)
    .execute();
}

export async function revokeKey(db: Db, project: string, id: string, actor = ''): Promise<void> {
  await db.transaction().execute(async (tx) => {
    const done = await tx
      .updateTable('api_keys')
      .set({ revoked_at: new Date() })
      .where('project', '=', project)
      .where('id', '=', id)
      .where('revoked_at', 'is', null)
      .executeTakeFirst();
    if (done.numUpdatedRows === 0n)
      throw new AppError('not_found', `there is no live key "${id}"`, { details: { key: id } });
    await emit(tx, { project, kind: 'key.revoked', subject: `key/${id}`, data: { key: id, actor } });
    await notifyKeys(tx);
  });
}

async function notifyKeys(db: Db): Promise<void> {
  await sql`select pg_notify('sluice_keys', '')`.execute(db);
}

/** All live keys by their hash. A look-up is a hash and a map read; the database is asked only when keys change. */
export class KeyTable {
  private byHash = new Map<string, { caller: Caller; expiresAtMs: number }>();
  /** Keys seen lately in the clear, so that most requests need not hash. Bounded. */
  private readonly seen = new Map<string, string>();
  private reading: Promise<void> = Promise.resolve();

  /** One read after the other: an older one that ends late must not bring a revoked key back. */
  reload(db: Db): Promise<void> {
    const turn = this.reading.then(() => this.read(db));
    this.reading = turn.catch(() => {});
    return turn;
  }

  private async read(db: Db): Promise<void> {
    const rows = await db.selectFrom('api_keys').selectAll().where('revoked_at', 'is', null).execute();
    this.byHash = new Map(
      rows.map((row) => [
        row.hash,
        {
          caller: { project: row.project, role: row.role, keyId: row.id, actor: row.name },
          expiresAtMs: row.expires_at?.getTime() ?? Number.POSITIVE_INFINITY,
        },
      ]),
    );
  }

  find(key: string, nowMs: number): Caller | undefined {
    let hash = this.seen.get(key);
    if (hash === undefined) {
      hash = hashKey(key);
      if (this.byHash.has(hash)) {
        if (this.seen.size >= 1000) this.seen.clear();
        this.seen.set(key, hash);
      }
    }
    const entry = this.byHash.get(hash);
    return entry && entry.expiresAtMs > nowMs ? entry.caller : undefined;
  }
}
