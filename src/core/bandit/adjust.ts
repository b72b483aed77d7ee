/** One look at an endpoint's rewards: facts, decision, act, in one transaction that holds the endpoint's row. */
import { sql } from 'kysely';
import { setTraffic } from '../endpoints/store.js';
import { readFeedback } from '../feedback/store.js';
import { rolloutInFlight } from '../rollouts/store.js';
import type { Db } from '../schema.js';
import { decideBandit } from './decide.js';

/** Who moved the traffic, in its history. */
const ACTOR = 'bandit';

/** Answers when to look again, in milliseconds since the epoch; undefined when it is off, or another's turn. */
export async function adjustBandit(db: Db, endpointId: string, now: number): Promise<number | undefined> {
  return db.transaction().execute(async (tx) => {
    const endpoint = await tx
      .selectFrom('endpoints')
      .select(['id', 'traffic', 'generation', 'routing', 'suspended'])
      .where('id', '=', endpointId)
      .where('deleted_at', 'is', null)
      .forUpdate()
      .executeTakeFirst();
    const settings = endpoint?.routing.bandit;
    if (!endpoint || endpoint.suspended || !settings?.enabled) return undefined;
    const before = await tx.selectFrom('bandits').selectAll().where('endpoint_id', '=', endpointId).executeTakeFirst();
    // two chains of looks can exist after a recovery; the one that comes too early ends here
    if (before && before.next_at.getTime() > now + (settings.intervalSec * 1000) / 4) return undefined;
    const reported = await readFeedback(tx, endpointId, settings.windowSec);
    const decision = decideBandit({
      settings,
      targets: endpoint.traffic,
      rewards: new Map([...reported].map(([revision, of]) => [revision, of[settings.reward] ?? { count: 0, sum: 0 }])),
      rolloutInFlight: (await rolloutInFlight(tx, endpointId)) !== undefined,
      changedAt: before?.changed_at?.getTime(),
      now,
    });
    const { reason } = decision;
    if (decision.kind === 'change') {
      const { targets } = decision;
      await setTraffic(tx, { endpointId, targets, expectGeneration: endpoint.generation, actor: ACTOR, reason });
    }
    const next = now + settings.intervalSec * 1000;
    const set = {
      next_at: new Date(next),
      reason,
      ...(decision.kind === 'change' ? { changed_at: new Date(now) } : {}),
    };
    await tx
      .insertInto('bandits')
      .values({ endpoint_id: endpointId, ...set })
      .onConflict((conflict) => conflict.column('endpoint_id').doUpdateSet(set))
      .execute();
    return next;
  });
}

/** Endpoints whose rewards nobody has looked at for `lateMs` after it was time. */
export async function overdueBandits(db: Db, lateMs: number): Promise<string[]> {
  const { rows } = await sql<{ id: string }>`
    select e.id from endpoints e left join bandits b on b.endpoint_id = e.id
    where e.routing->'bandit'->>'enabled' = 'true' and e.deleted_at is null and not e.suspended
      and (b.next_at is null or b.next_at < now() - ${lateMs}::float8 * interval '1 millisecond')`.execute(db);
  return rows.map(({ id }) => id);
}

/** What an endpoint's bandit last decided; undefined where there is none. */
export async function banditOf(db: Db, endpointId: string) {
  return db.selectFrom('bandits').selectAll().where('endpoint_id', '=', endpointId).executeTakeFirst();
}
