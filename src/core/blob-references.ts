/**
 * Blobs that are kept only for as long as something refers to them: bodies, results and parts of predictions, checkpoints and
 * outputs of jobs in a cluster. What a project brought itself stands in the ledger of blobs and is never removed here, also when the bytes are the same.
 */
import { sql } from 'kysely';
import type { Blobs, Digest, PutOptions } from './blobs.js';
import { fromNow } from './ownership.js';
import type { Db } from './schema.js';

/** How long noted blobs are left alone: whoever stored one of the same bytes meanwhile refers to it by then. */
const GRACE_MS = 600_000;
/** Blobs that one pass looks at. */
const SWEEP_AT_MOST = 200;

/**
 * Stores bytes that something will refer to within the next minutes. The same bytes may be there already and about to be
 * swept; so they are spared first, and only then is it looked whether they are there.
 */
export function storeBlob(
  db: Db,
  blobs: Blobs,
  source: AsyncIterable<Uint8Array>,
  options: PutOptions = {},
): Promise<{ digest: Digest; bytes: number }> {
  return blobs.put(source, { ...options, onDigest: (digest) => spare(db, digest) });
}

/** Waits for a sweep of this blob that is under way; a later one leaves it alone for a while. */
async function spare(db: Db, digest: Digest): Promise<void> {
  await db
    .updateTable('blob_garbage')
    .set({ since: fromNow(0) })
    .where('digest', '=', digest)
    .execute();
}

/** Notes blobs that nothing may refer to any more; to be called in the transaction that removed a reference. */
export async function addGarbage(db: Db, digests: readonly Digest[]): Promise<void> {
  if (digests.length === 0) return;
  await sql`insert into blob_garbage (digest) select distinct unnest(${digests}::text[]) on conflict do nothing`.execute(
    db,
  );
}

/** Looks at blobs that were noted long enough ago, and removes those that nothing refers to. Answers how many it looked at. */
export async function sweepBlobs(db: Db, blobs: Blobs, graceMs = GRACE_MS): Promise<number> {
  const noted = await db
    .selectFrom('blob_garbage')
    .select('digest')
    .where('since', '<=', fromNow(-graceMs))
    .orderBy('since')
    .limit(SWEEP_AT_MOST)
    .execute();
  for (const { digest } of noted) await sweepBlob(db, blobs, { digest, graceMs });
  return noted.length;
}

async function sweepBlob(
  db: Db,
  blobs: Blobs,
  { digest, graceMs }: { readonly digest: Digest; readonly graceMs: number },
): Promise<void> {
  await db.transaction().execute(async (tx) => {
    // the row is locked from here on: whoever stores the same bytes waits until they are gone, and stores them then
    const taken = await tx
      .deleteFrom('blob_garbage')
      .where('digest', '=', digest)
      .where('since', '<=', fromNow(-graceMs))
      .executeTakeFirst();
    if (taken.numDeletedRows === 1n && !(await isReferenced(tx, digest))) await blobs.delete(digest);
  });
}

async function isReferenced(db: Db, digest: Digest): Promise<boolean> {
  const { rows } = await sql<{ found: boolean }>`
    select exists (select from blobs where digest = ${digest})
      or exists (select from predictions where body_digest = ${digest} or result_digest = ${digest})
      or exists (select from batch_parts where output_digest = ${digest})
      or exists (select from jobs where checkpoint_digest = ${digest})
      or exists (select from jobs where outputs_digest = ${digest}) as found`.execute(db);
  return rows[0]?.found ?? true;
}
