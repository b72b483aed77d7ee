/** One round: jobs are submitted, one process is killed on their way, and everything has to come to its end all the same. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { JobSummary } from '../../src/cli/api-types.js';
import type { TestRedis } from '../../tests/support/redis-server.js';
import {
  type Api,
  ENDPOINT,
  HAND_ALIAS,
  type JobRequest,
  lookUntil,
  MODEL,
  type PlatformEvent,
  patiently,
} from './api.js';
import type { Installation } from './installation.js';
import type { Round } from './plan.js';
import type { Predictions } from './predictions.js';
import { type FoundProcess, killNow, strays } from './processes.js';
import type { Witness } from './witness.js';

/** How long anything may take to come back or to an end. Far beyond every bound that is asserted. */
const PATIENCE_MS = 60_000;
/** How long a phase is waited for. */
const PHASE_MS = 20_000;
/** A Redis that was killed is started again after this long. */
const REDIS_AWAY_MS = 300;

export interface Stage {
  readonly installation: Installation;
  readonly api: Api;
  readonly predictions: Predictions;
  readonly witness: Witness;
  readonly redis: TestRedis | undefined;
  /** Sequence number of the last event of the rounds before. */
  seenEvents: number;
}

export interface RoundResult {
  readonly killed: string;
  readonly killedAt: number;
  /** From the kill to the first good answer of a prediction that was sent after it and after the last that failed. */
  readonly answersMs: number;
  /** From the kill to the first accepted submission that was sent after it. */
  readonly acceptsMs: number;
  /** The slowest prediction that was sent after the kill. */
  readonly slowestMs: number;
  /** From the kill to the next start, of each job that ran and had to run again. */
  readonly rerunMs: readonly number[];
  readonly raceAcceptedAtOnce: boolean;
  /** The round's events, by their time from the kill. */
  readonly story: readonly string[];
  readonly problems: readonly string[];
}

export async function playRound(stage: Stage, round: Round): Promise<RoundResult> {
  const { api, installation, predictions, witness } = stage;
  const problems: string[] = [];
  const request = (letter: string, fails = false): JobRequest => ({
    name: `r${round.number}-${letter}`,
    tag: `r${round.number}-${letter}`,
    seconds: 1 + round.chance,
    fails,
  });
  const keyOf = ({ name }: JobRequest) => `key-${name}`;
  predictions.nextRound();
  witness.watch();
  const regular = [request('a'), request('b', round.oneFails)];
  const ids = await Promise.all(
    regular.map((spec) => patiently('a submission', PATIENCE_MS, () => api.submit(spec, keyOf(spec)))),
  );

  await reachPhase(stage, round, ids);
  await acknowledgedByHand(stage, round, problems);
  const victim = await findVictim(stage, round);
  const before = await api.jobs().catch(() => []);
  const racing = request('race');
  const race = (async () => {
    await sleep(Math.max(0, 50 + round.raceMs));
    return api.submit(racing, keyOf(racing)).catch(() => undefined);
  })();
  await sleep(50);
  if (round.victim === 'supervisor') installation.expectEnd();
  const killedAt = Date.now();
  if (round.victim === 'redis') await killRedis(stage);
  else if (victim) killNow(victim.pid);
  const raced = await race;

  // the same key again, as a client does that got no answer
  const raceId = await patiently('the racing submission', PATIENCE_MS, () => api.submit(racing, keyOf(racing)));
  const acceptsMs = Date.now() - killedAt;
  if (raced !== undefined && raced !== raceId)
    problems.push(`one idempotency key made the jobs ${raced} and ${raceId}`);
  ids.push(raceId);
  await untilEnded(stage, ids, problems);
  await witness.pause();
  const compared = await patiently('the comparison', PATIENCE_MS, () => witness.look());
  problems.push(...compared);
  await checkProcesses(stage, problems);
  const answersMs = answeredAgain(predictions, killedAt);
  if (answersMs === undefined) problems.push('predictions were not answered again');
  const events = await patiently('the events', PATIENCE_MS, () => api.events(stage.seenEvents));
  stage.seenEvents = events.at(-1)?.seq ?? stage.seenEvents;
  return {
    killed: victim ? `${victim.kind} ${victim.pid}` : round.victim,
    killedAt,
    answersMs: answersMs ?? PATIENCE_MS,
    acceptsMs,
    slowestMs: Math.max(0, ...predictions.good.filter(({ at }) => at > killedAt - 1000).map(({ tookMs }) => tookMs)),
    rerunMs: reruns(events, before, killedAt),
    story: events.map((event) => storyLine(event, killedAt)),
    raceAcceptedAtOnce: raced !== undefined,
    problems,
  };
}

async function reachPhase({ api, installation }: Stage, round: Round, ids: readonly string[]): Promise<void> {
  const anyPromotion = async (wanted: readonly string[]) => {
    const found = await Promise.all(ids.map((id) => api.promotionsOf(id)));
    return found.flat().some(({ state }) => wanted.includes(state)) || undefined;
  };
  switch (round.phase) {
    case 'submit':
      return void (await sleep(round.delayMs / 4));
    case 'training':
      await lookUntil(
        PHASE_MS,
        async () => installation.processes().some(({ kind }) => kind === 'training') || undefined,
        10,
      );
      return void (await sleep(round.delayMs));
    case 'gates':
      await lookUntil(
        PHASE_MS,
        () => anyPromotion(['gating', 'rolling', 'promoted', 'aborted', 'rejected', 'superseded']),
        10,
      );
      return void (await sleep(round.delayMs / 3));
    case 'canary':
      await lookUntil(
        PHASE_MS,
        () => anyPromotion(['rolling', 'promoted', 'aborted', 'rolled_back', 'superseded']),
        10,
      );
      return void (await sleep(2 * round.delayMs));
    case 'after':
      await lookUntil(PATIENCE_MS, async () => {
        const jobs = await Promise.all(ids.map((id) => api.job(id)));
        const { rollout } = await api.endpoint();
        return (
          (jobs.every((job) => job.endedAt) &&
            rollout === null &&
            !(await anyPromotion(['pending', 'gating', 'rolling']))) ||
          undefined
        );
      });
      return void (await sleep(round.delayMs / 4));
  }
}

/** Changes that are acknowledged right before the kill: an alias, and the traffic where no rollout moves it. */
async function acknowledgedByHand({ api }: Stage, round: Round, problems: string[]): Promise<void> {
  const { lastVersion } = await api.model();
  if (lastVersion > 0)
    await api.client.put(`/api/v1/models/${MODEL}/aliases/${HAND_ALIAS}`, { json: { version: lastVersion } });
  if (round.phase !== 'after') return;
  const { targets, generation } = await api.traffic();
  const [main] = targets;
  if (!main) return;
  const json = {
    targets: [{ revision: main.revision, percent: 100, tag: `r${round.number}` }],
    generation,
    reason: `round ${round.number}`,
  };
  const { body } = await api.client.put<{ generation: number }>(`/api/v1/endpoints/${ENDPOINT}/traffic`, { json });
  if (body.generation !== generation + 1)
    problems.push(`traffic went from generation ${generation} to ${body.generation}`);
}

async function findVictim({ installation }: Stage, round: Round): Promise<FoundProcess | undefined> {
  const look = async () => {
    const found = installation.processes().filter(({ kind }) => kind === round.victim);
    // the busiest model server is the one that serves; one time in three any of them, a spare or one in a gate among them
    const busiest = [...found].sort((a, b) => b.ticks - a.ticks)[0];
    if (round.victim === 'model server' && round.chance < 2 / 3) return busiest;
    return found[Math.floor(round.chance * found.length)];
  };
  return round.victim === 'redis' ? undefined : lookUntil(PHASE_MS, look, 5);
}

/** A gateway that is on its way out may still answer, so what counts is the first good answer after the last bad one. */
function answeredAgain({ failures, good }: Predictions, killedAt: number): number | undefined {
  const lastFailure = Math.max(killedAt, ...failures.map(({ at }) => at));
  const ends = good.filter(({ at }) => at > lastFailure).map(({ at, tookMs }) => at + tookMs);
  return ends.length === 0 ? undefined : Math.min(...ends) - killedAt;
}

async function killRedis({ redis }: Stage): Promise<void> {
  await redis?.kill();
  void sleep(REDIS_AWAY_MS).then(() => redis?.start());
}

/** Waits until every job, promotion and rollout has ended. */
async function untilEnded({ api }: Stage, ids: readonly string[], problems: string[]): Promise<void> {
  let waiting: string[] = [];
  const ended = await lookUntil(PATIENCE_MS, async () => {
    const jobs = await Promise.all(ids.map((id) => api.job(id)));
    const promotions = (await Promise.all(ids.map((id) => api.promotionsOf(id)))).flat();
    const rollouts = await api.rollouts();
    waiting = [
      ...jobs
        .filter((job) => !job.endedAt)
        .map(({ name, state, phase, reason }) => `job ${name}: ${state} ${phase} ${reason}`),
      ...promotions.filter((promotion) => !promotion.endedAt).map(({ id, state }) => `promotion ${id}: ${state}`),
      ...rollouts
        .filter((rollout) => !rollout.endedAt)
        .map(({ id, state, step, reason }) => `rollout ${id}: ${state}, step ${step}, ${reason}`),
    ];
    return waiting.length === 0 || undefined;
  });
  if (!ended) problems.push(`not at an end after ${PATIENCE_MS / 1000} s: ${waiting.join('; ')}`);
}

/** Once it is quiet there is one of each program, none that nobody looks after, and no script. */
async function checkProcesses({ installation }: Stage, problems: string[]): Promise<void> {
  let wrong: string[] = [];
  const quiet = await lookUntil(5000, async () => {
    const found = installation.processes();
    const count = (kind: FoundProcess['kind']) => found.filter((entry) => entry.kind === kind).length;
    const workers = new Set(found.filter(({ kind }) => kind === 'worker').map(({ pid }) => pid));
    wrong = [
      ...(['supervisor', 'gateway', 'worker', 'postgres'] as const).flatMap((kind) =>
        count(kind) === 1 ? [] : [`${count(kind)} of ${kind}`],
      ),
      ...(count('training') === 0 ? [] : [`${count('training')} training scripts`]),
      ...strays(found, installation.pid()).map(
        ({ pid, command }) => `process ${pid} that nobody looks after: ${command.slice(0, 120)}`,
      ),
      ...found
        .filter(({ kind, parent }) => kind === 'model server' && workers.has(parent))
        .map(({ pid }) => `model server ${pid} of the worker`),
    ];
    return wrong.length === 0 || undefined;
  });
  if (!quiet) problems.push(`processes: ${wrong.join('; ')}`);
}

/** How long after the kill those jobs started again that ran when it came and had to run once more. */
function reruns(events: readonly PlatformEvent[], before: readonly JobSummary[], killedAt: number): number[] {
  return before
    .filter((job) => job.state === 'running')
    .flatMap((job) => {
      const again = events.find(
        ({ kind, data, at }) =>
          kind === 'job.started' &&
          data.job === job.id &&
          data.attempt === job.attempt + 1 &&
          Date.parse(at) >= killedAt,
      );
      return again ? [Date.parse(again.at) - killedAt] : [];
    });
}

function storyLine({ at, kind, subject, data }: PlatformEvent, killedAt: number): string {
  const words = data.reason ?? data.message ?? JSON.stringify(data.traffic ?? '');
  return `${String(Date.parse(at) - killedAt).padStart(7)} ms  ${kind} ${subject} ${words}`;
}
