/** One look at a rollout: gather the facts, decide, act, in one transaction that holds the rollout's row. */
import type { Clock } from '../../clock.js';
import { SCALING_DEFAULTS } from '../endpoints/endpoint.js';
import { readStats } from '../inference/statistics.js';
import type { Db } from '../schema.js';
import { analyse } from './analyse.js';
import { NO_STATS } from './analysis.js';
import { endRollout, enterStep, holdRollout, setRolloutState, WARM_AHEAD_MS, warmBoth } from './moves.js';
import { stepsOf } from './plan.js';
import { readReplicas } from './replicas.js';
import { decideRollout, type RolloutFacts, replicasOf } from './rollout.js';
import { lockRollout, type RolloutRow } from './store.js';

/** Time between two looks. */
export const LOOK_EVERY_MS = 1000;

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
      case 'step': {
        const { step, reason } = decision;
        const entered = facts.steps[step];
        const replicas = entered?.kind === 'scale' ? replicasOf(entered, facts) : 1;
        await enterStep(tx, rollout, { steps: facts.steps, step, reason, replicas, nowMs: now });
        break;
      }
      case 'pause':
        await setRolloutState(tx, rollout, 'paused', decision.reason, now);
        break;
      case 'promote':
        await endRollout(tx, rollout, 'promoted', decision.reason, 'rollout', now);
        return undefined;
      case 'roll_back':
        await endRollout(tx, rollout, 'rolled_back', decision.reason, 'rollout', now);
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
  const { endpoint_id: endpointId, compared_since: since } = rollout;
  const { verdict, slowMs } = await analyse(tx, rollout, now);
  const seen = async (from: Date) => (since ? await readStats(tx, endpointId, rollout.candidate, from) : NO_STATS);
  const stable = await readReplicas(tx, endpointId, rollout.stable, now);
  const candidate = await readReplicas(tx, endpointId, rollout.candidate, now);
  const { scaling } = await tx
    .selectFrom('revisions')
    .select('scaling')
    .where('endpoint_id', '=', endpointId)
    .where('number', '=', rollout.candidate)
    .executeTakeFirstOrThrow();
  return {
    kind: rollout.kind,
    plan: rollout.plan,
    steps: stepsOf(rollout.plan, rollout.replicas),
    state: rollout.state,
    step: rollout.step,
    stepStartedAt: rollout.step_started_at.getTime(),
    now,
    candidateReady: candidate.ready,
    ...(candidate.problem ? { candidateProblem: candidate.problem } : {}),
    candidateMax: scaling.maxReplicas ?? SCALING_DEFAULTS.maxReplicas,
    stableReady: stable.ready,
    stableHeld: stable.held,
    verdict,
    slowMs,
    candidateInStep: (await seen(rollout.step_started_at)).requests,
    candidateSeen: since ? (await seen(since)).requests : 0,
  };
}

async function renewWarmth(tx: Db, rollout: RolloutRow, now: number): Promise<void> {
  const soon = await tx
    .selectFrom('revisions')
    .select('number')
    .where('endpoint_id', '=', rollout.endpoint_id)
    .where('number', 'in', [rollout.stable, rollout.candidate])
    .where('warm_until', '<', new Date(now + WARM_AHEAD_MS / 2))
    .executeTakeFirst();
  if (soon)
    await warmBoth(tx, { endpointId: rollout.endpoint_id, stable: rollout.stable, candidate: rollout.candidate }, now);
}
