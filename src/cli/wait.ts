/** Waiting for what goes on at the gateway, through its restarts. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Job, LogLine } from './api-types.js';
import type { Answer } from './client.js';
import { ApiError, UnreachableError } from './client-errors.js';
import { CliError, EXIT } from './exit.js';
import { oneLine } from './print/text.js';
import type { Promotion, Rollout } from './rollout-types.js';
import type { Session } from './session.js';

const POLL_MS = 1000;
/** How long a gateway may be away while something is waited for. */
const AWAY_MS = 120_000;

/** Reads a resource until it has ended. `changed` sees every answer. */
export async function untilEnded<T extends { readonly endedAt: string | null }>(
  session: Session,
  path: string,
  changed: (now: T) => void,
): Promise<Answer<T>> {
  let answeredAt = session.io.now();
  for (;;) {
    try {
      const answer = await session.client.get<T>(path, { signal: session.signal });
      answeredAt = session.io.now();
      changed(answer.body);
      if (answer.body.endedAt) return answer;
    } catch (error) {
      const passes = error instanceof UnreachableError || (error instanceof ApiError && error.status >= 500);
      if (!passes || session.io.now() - answeredAt > AWAY_MS) throw error;
    }
    await sleep(POLL_MS, undefined, { signal: session.signal });
  }
}

/** Waits for a job's end, saying its phases. */
export function untilJobEnded(session: Session, id: string): Promise<Answer<Job>> {
  const changed = once((text: string) => session.note(text));
  return untilEnded<Job>(session, `/api/v1/jobs/${encodeURIComponent(id)}`, (job) => {
    changed(`${id}: ${job.state}${job.phase && job.phase !== job.state ? `, ${job.phase}` : ''}`);
  });
}

/** Waits for a promotion's end, saying gates and states as they come. */
export function untilPromotionEnded(session: Session, id: string): Promise<Answer<Promotion>> {
  let gates = 0;
  const changed = once((text: string) => session.note(text));
  return untilEnded<Promotion>(session, `/api/v1/promotions/${encodeURIComponent(id)}`, (promotion) => {
    for (const gate of promotion.gates.slice(gates)) session.note(gateText(gate));
    gates = promotion.gates.length;
    changed(`${id}: ${promotion.state}${promotion.rolloutId ? ` (${promotion.rolloutId})` : ''}`);
  });
}

/** Waits for a rollout's end, handing over each of its events once. */
export function untilRolloutEnded(
  session: Session,
  id: string,
  seen: number,
  print: (rollout: Rollout, from: number) => void,
) {
  let printed = seen;
  return untilEnded<Rollout>(session, `/api/v1/rollouts/${encodeURIComponent(id)}`, (rollout) => {
    print(rollout, printed);
    printed = Math.max(printed, rollout.events.length);
  });
}

/** Hands over a job's log lines until it ended; lines that were written before come first. */
export async function followLogs(
  session: Session,
  id: string,
  write: (line: LogLine, json: string) => void,
): Promise<void> {
  for await (const event of session.client.events(`/api/v1/jobs/${encodeURIComponent(id)}/logs`, {
    query: { follow: true },
    signal: session.signal,
    giveUpMs: AWAY_MS,
  })) {
    if (event.event === 'end') return;
    if (event.event === 'log') write(JSON.parse(event.data) as LogLine, event.data);
  }
}

/** One gate's outcome in a line. */
export function gateText(gate: { readonly gate: string; readonly passed: boolean; readonly reason: string }): string {
  return `gate ${gate.gate}: ${gate.passed ? 'passed' : 'not passed'}: ${oneLine(gate.reason)}`;
}

/** Throws, with the exit code for it, unless what was waited for succeeded. */
export function mustBe(wanted: string, what: string, state: string, reason: string, hint?: string): void {
  if (state === wanted) return;
  throw new CliError(`${what} ended as ${state}${reason ? `: ${oneLine(reason)}` : ''}`, EXIT.notSucceeded, hint);
}

/** Says, when the person leaves, that what is waited for does not, and what to do about it. */
export async function staying<T>(session: Session, hint: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (session.signal.aborted) session.note(`\n${hint}`);
    throw error;
  }
}

/** Calls on only when the text differs from the last one. */
function once(say: (text: string) => void): (text: string) => void {
  let last = '';
  return (text) => {
    if (text !== last) say(text);
    last = text;
  };
}
