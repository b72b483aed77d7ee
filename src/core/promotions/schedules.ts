/**
 * Schedules of policies. Each has a row that names its next occurrence: whoever moves that on has this occurrence, so that
 * among many workers each is taken once. What was missed while no worker ran counts as one, the last.
 */
import { sql } from 'kysely';
import { AppError } from '../../errors.js';
import type { Db } from '../schema.js';
import { lastUntil, nextAfter, type Schedule } from './cron.js';
import { open, versionNamed } from './open.js';
import { triggersOf } from './policy.js';

/** Schedules that one pass looks at. */
const MOST = 100;

interface ScheduleKey extends Schedule {
  readonly endpoint_id: string;
  readonly version: string;
}

/** Opens promotions for what is due. Answers their ids. */
export async function runSchedules(db: Db, nowMs: number): Promise<string[]> {
  await noteSchedules(db, nowMs);
  const due = await db
    .selectFrom('promotion_schedules')
    .select(['endpoint_id', 'cron', 'timezone', 'version'])
    .where('next_at', '<=', new Date(nowMs))
    .orderBy('next_at')
    .limit(MOST)
    .execute();
  const opened: string[] = [];
  for (const key of due) {
    const id = await db.transaction().execute((tx) => takeOccurrence(tx, key, nowMs));
    if (id) opened.push(id);
  }
  return opened;
}

/** Gives every schedule of a policy its row, and removes those that no policy has left. */
async function noteSchedules(db: Db, nowMs: number): Promise<void> {
  const wanted = sql<ScheduleKey>`
    select e.id as endpoint_id, t->>'cron' as cron, t->>'timezone' as timezone, t->>'version' as version
    from endpoints e, jsonb_array_elements(e.policy->'triggers') t
    where e.policy @> '{"triggers":[{"on":"schedule"}]}' and e.deleted_at is null and (e.policy->>'auto')::boolean and t->>'on' = 'schedule'`;
  const { rows } = await sql<ScheduleKey>`select distinct w.* from (${wanted}) w
    where not exists (select from promotion_schedules s where (s.endpoint_id, s.cron, s.timezone, s.version)
      = (w.endpoint_id, w.cron, w.timezone, w.version))`.execute(db);
  for (const key of rows) {
    // what came before it was set is none of its occurrences
    await db
      .insertInto('promotion_schedules')
      .values({ ...key, next_at: new Date(nextAfter(key, nowMs)) })
      .onConflict((conflict) => conflict.doNothing())
      .execute();
  }
  await sql`delete from promotion_schedules s where not exists (select from (${wanted}) w
    where (s.endpoint_id, s.cron, s.timezone, s.version) = (w.endpoint_id, w.cron, w.timezone, w.version))`.execute(db);
}

async function takeOccurrence(tx: Db, key: ScheduleKey, nowMs: number): Promise<string | undefined> {
  // the endpoint first, as everybody
  const endpoint = await tx
    .selectFrom('endpoints')
    .selectAll()
    .where('id', '=', key.endpoint_id)
    .forUpdate()
    .executeTakeFirstOrThrow();
  const occurrence = new Date(lastUntil(key, nowMs));
  const due = await tx
    .updateTable('promotion_schedules')
    .set({ last_at: occurrence, next_at: new Date(nextAfter(key, nowMs)) })
    .where(ofKey(key))
    .where('next_at', '<=', new Date(nowMs))
    .executeTakeFirst();
  const still = triggersOf(endpoint.policy).some((one) => one.on === 'schedule' && one.cron === key.cron);
  if (due.numUpdatedRows === 0n || endpoint.deleted_at || !still) return undefined;
  const said = (outcome: string) => tx.updateTable('promotion_schedules').set({ outcome }).where(ofKey(key)).execute();
  let version: number;
  try {
    version = await versionNamed(tx, endpoint.project, endpoint.model, key.version);
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    await said(error.message);
    return undefined;
  }
  // a version that was decided on is not decided on every night
  const before = await tx
    .selectFrom('promotions')
    .select('id')
    .where('endpoint_id', '=', endpoint.id)
    .where('version', '=', version)
    .executeTakeFirst();
  const served = await tx
    .selectFrom('revisions')
    .select('number')
    .where('endpoint_id', '=', endpoint.id)
    .where('model_version', '=', version)
    .where('number', 'in', [0, ...endpoint.traffic.map((target) => target.revision)])
    .executeTakeFirst();
  if (before || served) {
    await said(before ? `version ${version} was taken up before, by ${before.id}` : `version ${version} is served`);
    return undefined;
  }
  const trigger = { on: 'schedule', cron: key.cron, occurrence: occurrence.toISOString() } as const;
  const { id } = await open(tx, endpoint, { version, trigger });
  await said(`opened ${id}`);
  return id;
}

function ofKey({ endpoint_id, cron, timezone, version }: ScheduleKey) {
  return sql<boolean>`(endpoint_id = ${endpoint_id} and cron = ${cron} and timezone = ${timezone} and version = ${version})`;
}
