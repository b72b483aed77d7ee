import type { Account } from './story.js';

/** The story's account for people. */
export function renderAccount(account: Account): string {
  const out: string[] = ['', 'What happened', '============='];
  account.chapters.forEach((chapter, at) => {
    const accuracy = chapter.accuracy === null ? '' : `, accuracy ${chapter.accuracy.toFixed(3)} by its own word`;
    out.push('', `${at + 1}. ${chapter.title}`);
    out.push(
      `   job ${chapter.job}: ${chapter.state}${chapter.version === null ? '' : `, version ${chapter.version}`}${accuracy} (${chapter.seconds.toFixed(1)} s to the decision)`,
    );
    for (const gate of chapter.gates) out.push(`   ${gate.passed ? '✓' : '✗'} ${gate.gate}: ${gate.reason}`);
    for (const step of chapter.rollout?.steps ?? []) out.push(`   → ${step}`);
    out.push(
      `   ${chapter.decision === chapter.expected ? 'decision' : 'UNEXPECTED'}: ${chapter.decision.replace('_', ' ')} – ${chapter.reason}`,
    );
  });
  account.scenes.forEach(({ title, words, problem, seconds }, at) => {
    out.push('', `${account.chapters.length + at + 1}. ${title} (${seconds.toFixed(1)} s)`, `   ${words}`);
    if (problem) out.push(`   UNEXPECTED: ${problem}`);
  });
  const { traffic } = account;
  const shares = Object.entries(traffic.byRevision)
    .sort(([a], [b]) => Number(a) - Number(b))
    .map(([revision, count]) => `revision ${revision}: ${count}`)
    .join(', ');
  out.push('', 'Meanwhile, the application', '--------------------------');
  out.push(`   ${traffic.sent} predictions sent, ${traffic.answered} answered (${shares})`);
  out.push(
    `   ${traffic.failed} failed; ${traffic.injected} errors of the fragile model reached users before its rollback`,
  );
  if (traffic.reported > 0) out.push(`   ${traffic.reported} answers were reported as right or wrong by their users`);
  out.push(
    `   latency p50 ${traffic.p50Ms} ms, p99 ${traffic.p99Ms} ms; ${((100 * traffic.right) / Math.max(1, traffic.answered)).toFixed(1)} % of the digits read right`,
  );
  if (account.serving)
    out.push(`   serving now: revision ${account.serving.revision}, model version ${account.serving.modelVersion}`);
  out.push(
    '',
    account.ok
      ? `All as it should be, in ${account.seconds.toFixed(1)} s.`
      : `NOT as it should be:\n${account.problems.map((problem) => `   - ${problem}`).join('\n')}`,
    '',
  );
  return out.join('\n');
}
