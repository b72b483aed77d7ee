import type { Command } from 'commander';
import type { Shadow, ShadowExample, ShadowRevision } from './api-types.js';
import type { Io } from './io.js';
import { number } from './print/text.js';
import { openSession, type Session } from './session.js';
import { instant } from './values.js';

/** `sluice shadow`. */
export function define(command: Command, io: Io): void {
  command
    .command('show')
    .description('show what shadow revisions answered to copies of requests, compared with the real answers')
    .argument('<endpoint>')
    .option('--since <time>', 'count from then on: ISO 8601, or how long ago, such as 2h', instant(io.now))
    .action((endpoint: string, options: { since?: string }, self: Command) =>
      show(openSession(io, self), endpoint, options.since),
    );
}

async function show(session: Session, name: string, since: string | undefined): Promise<void> {
  const answer = await session.client.get<Shadow>(`/api/v1/endpoints/${encodeURIComponent(name)}/shadow`, {
    query: { since },
    signal: session.signal,
  });
  if (session.printedJson(answer)) return;
  const { shadows } = answer.body;
  session.facts([
    ['endpoint', name],
    ['since', answer.body.since ? `${answer.body.since} (${session.ago(answer.body.since)})` : undefined],
  ]);
  session.print('');
  session.table(
    shadows,
    [
      { title: 'revision', cell: (shadow) => String(shadow.revision), right: true },
      { title: 'percent', cell: (shadow) => number(shadow.shadowPercent, 3), right: true },
      { title: 'copies', cell: (shadow) => number(shadow.copies), right: true },
      { title: 'compared', cell: (shadow) => number(shadow.compared), right: true },
      { title: 'disagreed', cell: disagreedText, right: true },
      { title: 'failed', cell: (shadow) => number(shadow.failed), right: true },
      { title: 'dropped', cell: (shadow) => number(shadow.dropped), right: true },
      { title: 'largest difference', cell: (shadow) => shadow.largestDifference.toPrecision(3), right: true },
      { title: 'last failure', cell: (shadow) => shadow.lastFailure ?? '-' },
    ],
    'no revision is a shadow; make one with `sluice traffic set ENDPOINT 1=100 --shadow 2=100`',
  );
  const examples = shadows.flatMap((shadow) => shadow.examples.map((example) => ({ ...example, of: shadow.revision })));
  if (examples.length === 0) return;
  session.print('');
  session.table(
    examples,
    [
      { title: 'when', cell: (example) => session.ago(example.at) },
      { title: 'shadow', cell: (example) => String(example.of), right: true },
      { title: 'request', cell: (example) => example.requestId },
      { title: 'differs', cell: placeText },
      { title: 'real', cell: (example) => `${example.real} (revision ${example.realRevision})` },
      { title: 'shadow says', cell: (example) => example.shadow },
    ],
    '',
  );
}

function disagreedText({ disagreed, compared }: ShadowRevision): string {
  return compared === 0 ? number(disagreed) : `${number(disagreed)} (${number((100 * disagreed) / compared, 2)} %)`;
}

function placeText({ output, what, index }: ShadowExample): string {
  if (what === 'value') return `${output}[${index ?? 0}]`;
  return output === '' ? what : `${what} of ${output}`;
}
