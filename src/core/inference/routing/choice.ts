/** Settings of an endpoint's choice, compiled once for each state of its traffic, so that a request has only to ask. */
import type { Caller } from '../../access/key.js';
import type { RevisionRoute, TargetRoute } from '../route.js';
import { claimAt, claimsOf, claimText } from './claims.js';
import { cookieOf } from './cookie.js';
import type { HeaderSource } from './header-source.js';
import { compilePattern } from './pattern.js';
import type { ChoiceSettings, Match, RoutingRule, Sticky } from './settings.js';

/** What keeps a request at its revision; undefined for a request that has no such thing. */
export type StickyKey = (source: HeaderSource, caller: Caller) => string | undefined;

type Condition = (source: HeaderSource, caller: Caller) => boolean;

export interface Rule {
  readonly conditions: readonly Condition[];
  readonly targets: readonly TargetRoute[];
}

/** Each absent where it is not used. */
export interface Choice {
  readonly sticky?: StickyKey | undefined;
  readonly rules?: readonly Rule[] | undefined;
  /** The headers that both look at. */
  readonly choiceHeaders?: readonly string[] | undefined;
}

const CLAIMS_HEADER = 'authorization';

/** What there is to choose among. */
export interface Choosable {
  readonly project: string;
  readonly targets: readonly TargetRoute[];
  readonly revisions: ReadonlyMap<number, RevisionRoute>;
}

export function compileChoice(settings: ChoiceSettings, among: Choosable): Choice {
  const { stickyHeader, rules = [], claimsHeader = CLAIMS_HEADER } = settings;
  const sticky = settings.sticky ?? (stickyHeader === undefined ? undefined : { by: 'header', name: stickyHeader });
  if (!sticky && rules.length === 0) return {};
  const headers = new Set<string>();
  const compiled = rules.flatMap((rule) => compileRule(rule, among, { claimsHeader, headers }) ?? []);
  return {
    sticky: sticky && compileSticky(sticky, claimsHeader, headers),
    rules: compiled.length > 0 ? compiled : undefined,
    choiceHeaders: [...headers],
  };
}

/** The targets that the first rule which holds leads to; undefined when none does. */
export function targetsByRule(
  rules: readonly Rule[],
  source: HeaderSource,
  caller: Caller,
): readonly TargetRoute[] | undefined {
  for (const { conditions, targets } of rules) {
    let holds = true;
    for (let at = 0; holds && at < conditions.length; at++) holds = conditions[at]?.(source, caller) === true;
    if (holds) return targets;
  }
  return undefined;
}

function compileSticky(sticky: Sticky, claimsHeader: string, headers: Set<string>): StickyKey {
  switch (sticky.by) {
    case 'header': {
      const { name } = sticky;
      headers.add(name);
      return (source) => source.header(name);
    }
    case 'cookie': {
      const { name } = sticky;
      headers.add('cookie');
      return (source) => cookieOf(source.header('cookie'), name);
    }
    case 'api_key':
      return (_, caller) => caller.keyId;
    case 'claim': {
      const { name } = sticky;
      headers.add(claimsHeader);
      return (source) => {
        const claims = claimsOf(source.header(claimsHeader));
        return claims && claimText(claimAt(claims, name));
      };
    }
  }
}

interface Compiling {
  readonly claimsHeader: string;
  /** Filled with those that are looked at. */
  readonly headers: Set<string>;
}

/** Undefined for a rule that can lead nowhere now, or can never hold. */
function compileRule({ when, to }: RoutingRule, among: Choosable, compiling: Compiling): Rule | undefined {
  const targets = targetsOf(to, among);
  if (targets.length === 0) return undefined;
  // callers reach the endpoints of their own project alone
  if (when.project && !testOf(when.project)(among.project)) return undefined;
  const { claimsHeader, headers } = compiling;
  const conditions: Condition[] = [];
  if (when.key) {
    const test = testOf(when.key);
    conditions.push((_, caller) => caller.keyId !== undefined && test(caller.actor));
  }
  for (const [name, match] of Object.entries(when.headers ?? {})) {
    const test = testOf(match);
    headers.add(name);
    conditions.push((source) => holds(test, source.header(name)));
  }
  for (const [name, match] of Object.entries(when.cookies ?? {})) {
    const test = testOf(match);
    headers.add('cookie');
    conditions.push((source) => holds(test, cookieOf(source.header('cookie'), name)));
  }
  for (const [name, match] of Object.entries(when.claims ?? {})) {
    const test = testOf(match);
    headers.add(claimsHeader);
    conditions.push((source) => {
      const claims = claimsOf(source.header(claimsHeader));
      const value = claims && claimAt(claims, name);
      return Array.isArray(value)
        ? value.some((entry) => holds(test, claimText(entry)))
        : holds(test, claimText(value));
    });
  }
  return { conditions, targets };
}

function targetsOf(to: RoutingRule['to'], { targets, revisions }: Choosable): TargetRoute[] {
  if ('tag' in to) return targets.filter(({ tag }) => tag === to.tag);
  const wanted = 'targets' in to ? to.targets : [{ revision: to.revision, percent: 100 }];
  const there = wanted.flatMap(({ revision: number, percent }) => {
    const revision = revisions.get(number);
    return revision && percent > 0 ? [{ revision, percent, tag: undefined }] : [];
  });
  // what is left of a split shares all of its requests
  const sum = there.reduce((total, { percent }) => total + percent, 0);
  return there.map((target) => ({ ...target, percent: (target.percent * 100) / sum }));
}

type Test = (value: string) => boolean;

function holds(test: Test, value: string | undefined): boolean {
  return value !== undefined && test(value);
}

function testOf(match: Match): Test {
  if ('regex' in match) {
    const pattern = compilePattern(match.regex);
    return (value) => pattern.test(value);
  }
  if ('prefix' in match) return (value) => value.startsWith(match.prefix);
  const { exact } = match;
  if (typeof exact === 'string') return (value) => value === exact;
  const values = new Set(exact);
  return (value) => values.has(value);
}
