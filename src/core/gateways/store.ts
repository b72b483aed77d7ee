/** The gateways that live, as they say themselves: how workers find one. */
import { fromNow } from '../ownership.js';
import type { Db } from '../schema.js';

/** How often a gateway says that it lives. */
export const ANNOUNCE_MS = 2000;
/** One that has not said so for this long is not asked. */
const FRESH_MS = 10_000;
/** One that is silent for this long is gone. */
const FORGET_MS = 3_600_000;

/** Says that a gateway lives, and where. */
export async function announceGateway(db: Db, id: string, url: string): Promise<void> {
  const seen = { url, seen_at: fromNow(0) };
  await db
    .insertInto('gateways')
    .values({ id, ...seen })
    .onConflict((conflict) => conflict.column('id').doUpdateSet(seen))
    .execute();
}

/** Takes a gateway that stops off the list. */
export async function withdrawGateway(db: Db, id: string): Promise<void> {
  await db.deleteFrom('gateways').where('id', '=', id).execute();
}

/** Addresses of the gateways that live, the one heard of last first. Processes of one gateway share an address. */
export async function livingGateways(db: Db): Promise<string[]> {
  const rows = await db
    .selectFrom('gateways')
    .select('url')
    .where('seen_at', '>', fromNow(-FRESH_MS))
    .orderBy('seen_at', 'desc')
    .execute();
  return [...new Set(rows.map((row) => row.url))];
}

/** Removes those that died without a word. */
export async function forgetDeadGateways(db: Db): Promise<void> {
  await db.deleteFrom('gateways').where('seen_at', '<', fromNow(-FORGET_MS)).execute();
}
