import { AppError } from '../../../errors.js';
import type { RoutingRule } from './settings.js';

/**
 * Refuses rules that lead to revisions which an endpoint has not. Revisions are numbered without gaps and never removed, so
 * that the last one's number says which there are.
 */
export function checkRules(endpoint: string, rules: readonly RoutingRule[] | undefined, lastRevision: number): void {
  for (const [at, rule] of (rules ?? []).entries()) {
    const missing = revisionsOf(rule).find((revision) => revision > lastRevision);
    if (missing === undefined) continue;
    const name = rule.name === undefined ? `rule ${at + 1}` : `rule "${rule.name}"`;
    const has = lastRevision === 0 ? 'has no revisions yet' : `has revisions 1 to ${lastRevision}`;
    throw new AppError(
      'invalid',
      `routing.rules[${at}]: ${name} leads to revision ${missing}, and endpoint "${endpoint}" ${has}`,
      { details: { field: `routing.rules[${at}].to`, revision: missing } },
    );
  }
}

/** Revisions that a rule names by number. */
function revisionsOf({ to }: RoutingRule): number[] {
  if ('revision' in to) return [to.revision];
  return 'targets' in to ? to.targets.map((target) => target.revision) : [];
}
