/** What the rounds measured, by the kind of process that was killed, and the bounds that it is held to. */
import { LOSING, type Round, VICTIMS, type Victim } from './plan.js';
import type { RoundResult } from './round.js';

/** From the kill to the next good answer, in milliseconds. */
const ANSWER_BOUND_MS: Readonly<Record<Victim, number>> = {
  gateway: 5000,
  // Postgres is stopped in order and started again before the gateway
  supervisor: 10_000,
  worker: 5000,
  training: 5000,
  'model server': 5000,
  postgres: 5000,
  redis: 5000,
};
/** From the kill of a worker to the next start of the job that it ran: usually, and at worst. */
const RERUN_USUAL_MS = 5000;
const RERUN_WORST_MS = 20_000;

interface Played {
  readonly round: Round;
  readonly result: RoundResult;
  /** Predictions that failed in the round. */
  readonly failed: number;
}

export function figuresOf(played: readonly Played[]): { figures: Record<string, string | number>; problems: string[] } {
  const figures: Record<string, string | number> = {};
  const problems: string[] = [];
  for (const victim of VICTIMS) {
    const of = played.filter(({ round }) => round.victim === victim);
    if (of.length === 0) continue;
    const answers = of.map(({ result }) => result.answersMs);
    const failed = of.reduce((sum, one) => sum + one.failed, 0);
    figures[`${victim}: kills`] = of.length;
    figures[`${victim}: answers again (ms: median, max)`] = spread(answers);
    figures[`${victim}: accepts jobs again (ms: median, max)`] = spread(of.map(({ result }) => result.acceptsMs));
    figures[`${victim}: slowest prediction (ms: median, max)`] = spread(of.map(({ result }) => result.slowestMs));
    figures[`${victim}: predictions failed`] = failed;
    const reruns = of.flatMap(({ result }) => result.rerunMs);
    if (reruns.length > 0)
      figures[`${victim}: jobs run again (ms: median, max; of)`] = `${spread(reruns)}; ${reruns.length}`;
    if (failed > 0 && !LOSING.has(victim)) problems.push(`${failed} predictions failed where a ${victim} was killed`);
    if (Math.max(...answers) > ANSWER_BOUND_MS[victim])
      problems.push(
        `${victim}: predictions came back after ${Math.max(...answers)} ms, the bound is ${ANSWER_BOUND_MS[victim]} ms`,
      );
    if (reruns.length > 0 && median(reruns) > RERUN_USUAL_MS)
      problems.push(`${victim}: jobs ran again after ${median(reruns)} ms, usually ${RERUN_USUAL_MS} ms is the bound`);
    if (reruns.some((ms) => ms > RERUN_WORST_MS))
      problems.push(`${victim}: a job ran again after ${Math.max(...reruns)} ms, the bound is ${RERUN_WORST_MS} ms`);
  }
  figures['racing submissions accepted at once'] = played.filter(({ result }) => result.raceAcceptedAtOnce).length;
  return { figures, problems };
}

function spread(values: readonly number[]): string {
  return `${Math.round(median(values))}, ${Math.round(Math.max(...values))}`;
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return ((sorted[Math.floor((sorted.length - 1) / 2)] ?? 0) + (sorted[Math.ceil((sorted.length - 1) / 2)] ?? 0)) / 2;
}
