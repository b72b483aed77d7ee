import { type Command, InvalidArgumentError } from 'commander';
import type { Endpoint, Served, Traffic, TrafficTarget } from './api-types.js';
import { trafficText } from './api-types.js';
import { usageError } from './exit.js';
import type { Io } from './io.js';
import { number, oneLine } from './print/text.js';
import { openSession, type Session } from './session.js';
import { instant } from './values.js';
import { gateText } from './wait.js';

/** `sluice traffic`. */
export function define(command: Command, io: Io): void {
  command
    .command('show')
    .description('show which revisions answer, and who changed that when and why')
    .argument('<endpoint>')
    .option('--at <time>', 'what was in force then: ISO 8601, or how long ago, such as 2h', instant(io.now))
    .action((endpoint: string, options: { at?: string }, self: Command) =>
      show(openSession(io, self), endpoint, options.at),
    );
  command
    .command('set')
    .description('set which revisions answer, if nobody else changed it meanwhile')
    .argument('<endpoint>')
    .argument('<targets...>', 'REVISION=PERCENT or REVISION=PERCENT:TAG; percents add up to 100', collectTarget)
    .option(
      '--shadow <revision=percent>',
      'copies of so many percent of the requests go to it as well, compared and never returned; may be repeated',
      collectTarget,
    )
    .option('--reason <text>', 'why, for the record')
    .action((endpoint: string, targets: readonly TrafficTarget[], options: SetOptions, self: Command) =>
      set(openSession(io, self), endpoint, withShadows(targets, options.shadow ?? []), options.reason),
    );
}

interface SetOptions {
  readonly reason?: string;
  readonly shadow?: readonly TrafficTarget[];
}

/** The targets with what is said of shadows; one without a share of its own has 0 %. */
export function withShadows(
  targets: readonly TrafficTarget[],
  shadows: readonly TrafficTarget[],
): readonly TrafficTarget[] {
  const out = targets.map((target) => {
    const own = shadows.find(({ revision }) => revision === target.revision);
    return own ? { ...target, shadowPercent: own.percent } : target;
  });
  const named = new Set(targets.map(({ revision }) => revision));
  const pure = shadows.filter(({ revision }) => !named.has(revision));
  return [...out, ...pure.map(({ percent, ...shadow }) => ({ ...shadow, percent: 0, shadowPercent: percent }))];
}

/** Reads `3=90` or `3=90:canary`. */
export function parseTarget(text: string): TrafficTarget {
  const match = /^([1-9]\d*)=(\d+(?:\.\d+)?)%?(?::([a-z0-9-]+))?$/.exec(text);
  if (!match) throw new InvalidArgumentError(`Expected REVISION=PERCENT such as 3=90, not "${text}".`);
  return { revision: Number(match[1]), percent: Number(match[2]), ...(match[3] ? { tag: match[3] } : {}) };
}

function collectTarget(text: string, before: readonly TrafficTarget[] | undefined): TrafficTarget[] {
  return [...(before ?? []), parseTarget(text)];
}

async function show(session: Session, name: string, at: string | undefined): Promise<void> {
  if (at !== undefined) return showThen(session, name, at);
  const answer = await session.client.get<Traffic>(`/api/v1/endpoints/${encodeURIComponent(name)}/traffic`, {
    signal: session.signal,
  });
  if (session.printedJson(answer)) return;
  const traffic = answer.body;
  session.facts([
    ['endpoint', name],
    ['generation', String(traffic.generation)],
    ['in force', 'now'],
  ]);
  session.print('');
  targetTable(session, traffic.targets);
  if (!traffic.history || traffic.history.length === 0) return;
  session.print('');
  session.table(
    traffic.history,
    [
      { title: 'generation', cell: (change) => String(change.generation), right: true },
      { title: 'when', cell: (change) => session.ago(change.at) },
      { title: 'by', cell: (change) => change.actor ?? '-' },
      { title: 'traffic', cell: (change) => trafficText(change.targets) },
      { title: 'reason', cell: (change) => change.reason },
    ],
    '',
  );
}

/** What served at a moment, down to who decided it on what. */
async function showThen(session: Session, name: string, at: string): Promise<void> {
  const answer = await session.client.get<Served>(`/api/v1/endpoints/${encodeURIComponent(name)}/served`, {
    query: { at },
    signal: session.signal,
  });
  if (session.printedJson(answer)) return;
  const served = answer.body;
  session.facts([
    ['endpoint', name],
    ['generation', String(served.generation)],
    ['in force', `at ${at}`],
    ['since', `${served.since} (${session.ago(served.since)})`],
    ['until', served.until ?? 'now'],
    ['by', served.actor],
    ['reason', served.reason],
  ]);
  session.print('');
  session.table(
    served.targets,
    [
      { title: 'revision', cell: (target) => String(target.revision), right: true },
      { title: 'percent', cell: (target) => number(target.percent, 6), right: true },
      { title: 'tag', cell: (target) => target.tag ?? '-' },
      { title: 'version', cell: (target) => String(target.version), right: true },
      { title: 'job', cell: (target) => target.job?.id ?? '-' },
      { title: 'promotion', cell: (target) => target.promotion?.id ?? '-' },
      { title: 'rollout', cell: (target) => target.rollout?.id ?? '-' },
    ],
    'no revision had traffic',
  );
  for (const { revision, promotion, rollout } of served.targets) {
    if (!promotion) continue;
    session.print('');
    session.print(`revision ${revision}:`);
    for (const gate of promotion.gates) session.print(`  ${gateText(gate)}`);
    for (const { actor, vote, comment } of promotion.approvals)
      session.print(`  ${vote} of ${actor}${comment && `: ${oneLine(comment)}`}`);
    if (rollout?.last) session.print(`  rollout: ${rollout.last.kind}: ${oneLine(rollout.last.message)}`);
  }
}

async function set(
  session: Session,
  name: string,
  targets: readonly TrafficTarget[],
  reason: string | undefined,
): Promise<void> {
  const sum = targets.reduce((total, target) => total + target.percent, 0);
  if (Math.abs(sum - 100) > 1e-6) throw usageError(`percents must add up to 100, not ${Number(sum.toFixed(6))}`);
  const path = `/api/v1/endpoints/${encodeURIComponent(name)}`;
  const { generation } = (await session.client.get<Endpoint>(path, { signal: session.signal })).body;
  const answer = await session.client.put<{ generation: number }>(`${path}/traffic`, {
    json: { targets, generation, ...(reason ? { reason } : {}) },
    signal: session.signal,
  });
  if (session.printedJson(answer)) return;
  session.print(`traffic of ${name} is now ${trafficText(targets)} (generation ${answer.body.generation})`);
}

/** Shown where there are any. */
const COPIES = {
  title: 'copies, percent',
  cell: ({ shadowPercent = 0 }: TrafficTarget) => number(shadowPercent, 6),
  right: true,
};

function targetTable(session: Session, targets: readonly TrafficTarget[]): void {
  session.table(
    targets,
    [
      { title: 'revision', cell: (target) => String(target.revision), right: true },
      { title: 'percent', cell: (target) => number(target.percent, 9), right: true },
      ...(targets.some(({ shadowPercent }) => shadowPercent) ? [COPIES] : []),
      { title: 'tag', cell: (target) => target.tag ?? '-' },
    ],
    'no revision has traffic',
  );
}
