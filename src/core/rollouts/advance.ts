/** One look at a rollout: gather the facts, decide, act, in one transaction that holds the rollout's row. */
import type { Clock } from '../../clock.js';
import { readStats } from '../inference/statistics.js';
import type { Db } from '../schema.js';
import { analyse } from './analyse.js';
import { NO_STATS } from './analysis.js';
import { decideRollout, type RolloutFacts } from './rollout.js';
import {
  endRollout,
  enterStep,
  holdRollout,
  lockRollout,
  type RolloutRow,
  setRolloutState,
  warmBoth,
} from './store.js';

/** Time between two looks. */
export const LOOK_EVERY_MS = 1000;
/** A gateway that has not reported for this long no longer vouches for its replicas. */
const STATUS_FRESH_MS = 15_000;

/** Answers when to look again, in milliseconds since the epoch; undefined when the rollout ended or is another's. */
export async function advanceRollout(db: Db, id: string, clock: Clock): Promise<number | undefined> {
  return db.transaction().execute(async (tx) => {
    const rollout = await lockRollout(tx, id);
    const now = clock.now();
    // two chains of looks can exist after a recovery; the one that comes too early ends here
    if (!rollout || rollout.next_at.getTime() > now + LOOK_EVERY_MS / 4) return undefined;
    const facts = await gather(tx, rollout, now);
    const decision = decideRollout(facts);
    switch (decision.kind) {
      case 'hold':
        // why it was paused says more than that it is
        if (rollout.state !== 'paused') await holdRollout(tx, rollout, decision.reason);
        break;
      case 'step':
        await enterStep(tx, rollout, decision.step, decision.percent, decision.reason);
        break;
      case 'pause':
        await setRolloutState(tx, rollout, 'paused', decision.reason);
        break;
      case 'promote':
        await endRollout(tx, rollout, 'promoted', decision.reason, 'rollout');
        return undefined;
      case 'roll_back':
        await endRollout(tx, rollout, 'rolled_back', decision.reason, 'rollout');
        return undefined;
    }
    await renewWarmth(tx, rollout, now);
    const next = now + LOOK_EVERY_MS;
    await tx
      .updateTable('rollouts')
      .set({ next_at: new Date(next), slow_ms: facts.slowMs ?? null })
      .where('id', '=', id)
      .execute();
    return next;
  });
}

async function gather(
  tx: Db,
  rollout: RolloutRow,
  now: number,
): Promise<RolloutFacts & { slowMs: number | undefined }> {
  const { verdict, slowMs } = await analyse(tx, rollout, now);
  const inStep = rollout.compared_since
    ? await readStats(tx, rollout.endpoint_id, rollout.candidate, rollout.step_started_at)
    : NO_STATS;
  const status = await candidateStatus(tx, rollout, now);
  return {
    plan: rollout.plan,
    state: rollout.state,
    step: rollout.step,
    stepStartedAt: rollout.step_started_at.getTime(),
    now,
    candidateReady: status.ready > 0,
    ...(status.ready === 0 && status.problem ? { candidateProblem: status.problem } : {}),
    verdict,
    slowMs,
    candidateInStep: inStep.requests,
  };
}

async function candidateStatus(
  tx: Db,
  rollout: RolloutRow,
  now: number,
): Promise<{ ready: number; problem: string | undefined }> {
  const rows = await tx
    .selectFrom('revision_status')
    .select(['ready', 'failing', 'message'])
    .where('endpoint_id', '=', rollout.endpoint_id)
    .where('revision', '=', rollout.candidate)
    .where('updated_at', '>', new Date(now - STATUS_FRESH_MS))
    .execute();
  return { ready: rows.reduce((sum, row) => sum + row.ready, 0), problem: rows.find((row) => row.failing)?.message };
}

async function renewWarmth(tx: Db, rollout: RolloutRow, now: number): Promise<void> {
  const soon = await tx
    .selectFrom('revisions')
    .select('number')
    .where('endpoint_id', '=', rollout.endpoint_id)
    .where('number', 'in', [rollout.stable, rollout.candidate])
    .where('warm_until', '<', new Date(now + 5 * 60_000))
    .executeTakeFirst();
  if (soon)
    await warmBoth(tx, { endpointId: rollout.endpoint_id, stable: rollout.stable, candidate: rollout.candidate });
}
