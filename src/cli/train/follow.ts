/** Staying with a job until it, and what it set off, has ended. */

import { setTimeout as sleep } from 'node:timers/promises';
import type { Job } from '../api-types.js';
import type { Answer } from '../client.js';
import type { Session } from '../session.js';
import { followLogs, mustBe, staying, untilJobEnded, untilPromotionEnded } from '../wait.js';
import { logText, printJob } from './print.js';

/** How long the promotions of a job that just succeeded may take to appear. */
const PROMOTIONS_APPEAR_MS = 10_000;

/** Prints the log until the job ends; with `--json`, to standard error, because the job itself is the result. */
export async function follow(session: Session, id: string): Promise<void> {
  await staying(session, leaving(id), () =>
    followLogs(session, id, (line) => {
      const text = logText(session, line);
      if (session.json) session.io.err(text);
      else session.io.out(text);
    }),
  );
}

/** Waits for the end, prints the job, and fails unless it (and its promotions, if asked for) succeeded. */
export async function waitAndReport(session: Session, id: string, promoted: boolean): Promise<void> {
  const end = await staying(session, leaving(id), () => untilJobEnded(session, id));
  const succeeded = end.body.state === 'succeeded';
  const last = promoted && succeeded ? await staying(session, leaving(id), () => untilPromoted(session, end)) : end;
  if (!session.printedJson(last)) {
    if (session.quiet) session.printEssential(id, id);
    else printJob(session, last.body);
  }
  mustBe('succeeded', id, end.body.state, end.body.reason, `its log: \`sluice train logs ${id}\``);
  if (!promoted) return;
  if (last.body.promotions.length === 0)
    mustBe('promoted', id, 'succeeded', 'but nothing is promoted: no endpoint of its model promotes on its own');
  for (const promotion of last.body.promotions) {
    mustBe(
      'promoted',
      `${promotion.id} on ${promotion.endpoint}`,
      promotion.state,
      '',
      `\`sluice train show ${id}\` says more`,
    );
  }
}

async function untilPromoted(session: Session, end: Answer<Job>): Promise<Answer<Job>> {
  const path = `/api/v1/jobs/${end.body.id}`;
  const until = session.io.now() + PROMOTIONS_APPEAR_MS;
  let job = end;
  while (job.body.promotions.length === 0 && session.io.now() < until) {
    await sleep(500, undefined, { signal: session.signal });
    job = await session.client.get<Job>(path, { signal: session.signal });
  }
  for (const promotion of job.body.promotions) await untilPromotionEnded(session, promotion.id);
  return session.client.get<Job>(path, { signal: session.signal });
}

function leaving(id: string): string {
  return `${id} goes on without you: \`sluice train logs ${id} --follow\`, or \`sluice train cancel ${id}\``;
}
