/**
 * Blobs that are kept only for as long as something refers to them: bodies, results and parts of predictions. What a
 * project brought itself stands in the ledger of blobs and is never removed here, also when the bytes are the same.
 */
import { sql } from 'kysely';
import type { Blobs, Digest } from './blobs.js';
import type { Db } from './schema.js';

/** First key of the advisory locks on digests; the second one is the digest's hash. */
const LOCK = 0x6b10b;
/** Blobs that one pass looks at. */
const SWEEP_AT_MOST = 200;

/**
 * Keeps a blob from being removed until this transaction, which writes what refers to it, has ended. False when it is gone:
 * the same bytes were swept in the moment in which they were stored once more.
 */
export async function holdBlob(tx: Db, blobs: Blobs, digest: Digest): Promise<boolean> {
  await sql`select pg_advisory_xact_lock_shared(${LOCK}::integer, hashtext(${digest}))`.execute(tx);
  return (await blobs.stat(digest)) !== undefined;
}

/** Notes blobs that nothing may refer to any more; to be called in the transaction that removed a reference. */
export async function addGarbage(db: Db, digests: readonly Digest[]): Promise<void> {
  if (digests.length === 0) return;
  await sql`insert into blob_garbage (digest) select distinct unnest(${digests}::text[]) on conflict do nothing`.execute(
    db,
  );
}

/** Looks at noted blobs and removes those that nothing refers to. Answers how many were looked at. */
export async function sweepBlobs(db: Db, blobs: Blobs): Promise<number> {
  const noted = await db.selectFrom('blob_garbage').select('digest').orderBy('since').limit(SWEEP_AT_MOST).execute();
  for (const { digest } of noted) {
    await db.transaction().execute(async (tx) => {
      await sql`select pg_advisory_xact_lock(${LOCK}::integer, hashtext(${digest}))`.execute(tx);
      if (!(await isReferenced(tx, digest))) await blobs.delete(digest);
      await tx.deleteFrom('blob_garbage').where('digest', '=', digest).execute();
    });
  }
  return noted.length;
}

async function isReferenced(db: Db, digest: Digest): Promise<boolean> {
  const { rows } = await sql<{ found: boolean }>`
    select exists (select from blobs where digest = ${digest})
      or exists (select from predictions where body_digest = ${digest} or result_digest = ${digest})
      or exists (select from batch_parts where output_digest = ${digest}) as found`.execute(db);
  return rows[0]?.found ?? true;
}
