import { describe, expect, it } from 'vitest';
import type { Caller } from '../../access/key.js';
import { routingSchema } from '../../endpoints/endpoint.js';
import { chooseRevision, type EndpointRoute, type RevisionRoute } from '../route.js';
import { compileChoice, targetsByRule } from './choice.js';
import { claimsOf, isJwt } from './claims.js';
import { cookieOf } from './cookie.js';
import type { HeaderSource } from './header-source.js';

const ANN: Caller = { project: 'default', role: 'predict', keyId: 'key_1', actor: 'ann' };
const NOBODY: Caller = { project: 'default', role: 'anonymous', actor: 'anonymous' };

function token(claims: object): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  return `${part({ alg: 'none' })}.${part(claims)}.`;
}

/** Revision 1 has 90 %, revision 2 has 10 % and is the candidate, revision 3 is dark. */
function endpoint(routing: unknown, project = 'default'): EndpointRoute {
  const revisions = new Map(
    [1, 2, 3].map((number) => [number, { number, key: `ep/${number}` } as unknown as RevisionRoute]),
  );
  const targets = [
    { revision: revisions.get(1) as RevisionRoute, percent: 90, tag: 'stable' },
    { revision: revisions.get(2) as RevisionRoute, percent: 10, tag: 'candidate' },
  ];
  const base = { id: 'ep', name: 'digits', project, targets, revisions };
  return { ...base, ...compileChoice(routingSchema.parse(routing), base) } as unknown as EndpointRoute;
}

function ask(route: EndpointRoute, headers: Record<string, string>, caller = ANN, random = 0): number {
  const source: HeaderSource = { header: (name) => headers[name] };
  return chooseRevision(route, {
    targets: route.rules && targetsByRule(route.rules, source, caller),
    stickyKey: route.sticky?.(source, caller),
    random,
  }).number;
}

const to3 = { revision: 3 };

interface RuleCase {
  readonly why: string;
  readonly when: object;
  readonly headers: Record<string, string>;
  readonly holds: boolean;
}

describe('rules', () => {
  it.each<RuleCase>([
    { why: 'a header', when: { headers: { 'X-Team': { exact: 'beta' } } }, headers: { 'x-team': 'beta' }, holds: true },
    {
      why: 'another value',
      when: { headers: { 'x-team': { exact: 'beta' } } },
      headers: { 'x-team': 'b' },
      holds: false,
    },
    { why: 'no header', when: { headers: { 'x-team': { regex: '.*' } } }, headers: {}, holds: false },
    { why: 'one of several', when: { headers: { a: { exact: ['x', 'y'] } } }, headers: { a: 'y' }, holds: true },
    { why: 'a prefix', when: { headers: { a: { prefix: 'ab' } } }, headers: { a: 'abc' }, holds: true },
    { why: 'a regex', when: { headers: { a: { regex: 'v[12]\\..+' } } }, headers: { a: 'v2.7' }, holds: true },
    { why: 'a regex in the middle', when: { headers: { a: { regex: 'v2' } } }, headers: { a: 'v2.7' }, holds: false },
    { why: 'a cookie', when: { cookies: { group: { exact: 'b' } } }, headers: { cookie: 'x=1; group=b' }, holds: true },
    {
      why: 'a claim',
      when: { claims: { sub: { exact: 'u1' } } },
      headers: { authorization: `Bearer ${token({ sub: 'u1' })}` },
      holds: true,
    },
    {
      why: 'a claim within',
      when: { claims: { 'org.id': { exact: '7' } } },
      headers: { authorization: `bearer ${token({ org: { id: 7 } })}` },
      holds: true,
    },
    {
      why: 'a claim with dots',
      when: { claims: { 'https://a.b/c': { exact: 'x' } } },
      headers: { authorization: `Bearer ${token({ 'https://a.b/c': 'x' })}` },
      holds: true,
    },
    {
      why: 'an entry of a claim',
      when: { claims: { groups: { exact: 'qa' } } },
      headers: { authorization: `Bearer ${token({ groups: ['dev', 'qa'] })}` },
      holds: true,
    },
    {
      why: 'no such claim',
      when: { claims: { toString: { regex: '.*' } } },
      headers: { authorization: `Bearer ${token({})}` },
      holds: false,
    },
    {
      why: 'no token',
      when: { claims: { sub: { regex: '.*' } } },
      headers: { authorization: 'Bearer sk_1' },
      holds: false,
    },
    { why: "the key's name", when: { key: { exact: 'ann' } }, headers: {}, holds: true },
    {
      why: 'all of it',
      when: { key: { exact: 'ann' }, headers: { a: { exact: '1' } } },
      headers: { a: '2' },
      holds: false,
    },
    { why: 'the project', when: { project: { exact: 'default' } }, headers: {}, holds: true },
    { why: 'another project', when: { project: { prefix: 'prod' } }, headers: {}, holds: false },
  ])('$why', ({ when, headers, holds }) => {
    expect(ask(endpoint({ rules: [{ when, to: to3 }] }), headers)).toBe(holds ? 3 : 1);
  });

  it('asks the header that is set for claims', () => {
    const route = endpoint({
      claimsHeader: 'X-Forwarded-Access-Token',
      rules: [{ when: { claims: { sub: { exact: 'u' } } }, to: to3 }],
    });
    expect(ask(route, { authorization: `Bearer ${token({ sub: 'u' })}` })).toBe(1);
    expect(ask(route, { 'x-forwarded-access-token': token({ sub: 'u' }) })).toBe(3);
    expect(route.choiceHeaders).toEqual(['x-forwarded-access-token']);
  });

  it('nobody has no name of a key', () => {
    expect(ask(endpoint({ rules: [{ when: { key: { regex: '.*' } }, to: to3 }] }), {}, NOBODY)).toBe(1);
  });

  it('the first that holds decides', () => {
    const headers = { a: { prefix: 'x' } };
    const route = endpoint({
      rules: [
        { when: { headers }, to: { tag: 'candidate' } },
        { when: { headers }, to: to3 },
      ],
    });
    expect(ask(route, { a: 'x' })).toBe(2);
  });

  it('passes rules over that lead nowhere now', () => {
    const when = { headers: { a: { exact: 'x' } } };
    const route = endpoint({
      rules: [
        { when, to: { revision: 8 } },
        { when, to: { tag: 'gone' } },
        { when, to: to3 },
      ],
    });
    expect(ask(route, { a: 'x' })).toBe(3);
    expect(endpoint({ rules: [{ when, to: { revision: 8 } }] }).rules).toBeUndefined();
  });

  it('a split of its own gives what is missing of it to the rest, by the sticky key too', () => {
    const targets = [
      { revision: 1, percent: 50 },
      { revision: 2, percent: 25 },
      { revision: 8, percent: 25 },
    ];
    const route = endpoint({
      sticky: { by: 'api_key' },
      rules: [{ when: { headers: { a: { exact: 'x' } } }, to: { targets } }],
    });
    const counts = [0, 0];
    for (let at = 0; at < 3000; at++) {
      const revision = ask(route, { a: 'x' }, { ...ANN, keyId: `key_${at}` });
      counts[revision - 1] = (counts[revision - 1] ?? 0) + 1;
    }
    expect(Math.abs((counts[0] ?? 0) - 2000)).toBeLessThan(130);
    expect(ask(route, { a: 'x' }, NOBODY, 0.66)).toBe(1);
    expect(ask(route, { a: 'x' }, NOBODY, 0.67)).toBe(2);
  });
});

describe('the sticky key', () => {
  const jwt = `Bearer ${token({ sub: 'u1', org: { id: 7 }, list: [1] })}`;
  it.each([
    { by: { by: 'header', name: 'X-User' }, headers: { 'x-user': 'u' }, key: 'u' },
    { by: { by: 'cookie', name: 'sid' }, headers: { cookie: 'a=b; sid=s1' }, key: 's1' },
    { by: { by: 'cookie', name: 'sid' }, headers: {}, key: undefined },
    { by: { by: 'api_key' }, headers: {}, key: 'key_1' },
    { by: { by: 'claim', name: 'sub' }, headers: { authorization: jwt }, key: 'u1' },
    { by: { by: 'claim', name: 'org.id' }, headers: { authorization: jwt }, key: '7' },
    { by: { by: 'claim', name: 'list' }, headers: { authorization: jwt }, key: undefined },
    { by: { by: 'claim', name: 'sub' }, headers: { authorization: 'Bearer eyJ.e30' }, key: undefined },
  ])('$by', ({ by, headers, key }) => {
    const source: HeaderSource = { header: (name) => (headers as Record<string, string>)[name] };
    expect(endpoint({ sticky: by }).sticky?.(source, ANN)).toBe(key);
  });

  it('is the same by the short form', () => {
    const source: HeaderSource = { header: (name) => (name === 'x-user' ? 'u' : undefined) };
    expect(endpoint({ stickyHeader: 'X-User' }).sticky?.(source, ANN)).toBe('u');
    expect(routingSchema.safeParse({ stickyHeader: 'a', sticky: { by: 'api_key' } }).success).toBe(false);
  });

  it('costs nothing where nothing is set', () => {
    expect(compileChoice({}, endpoint({}))).toEqual({});
  });
});

describe('cookieOf', () => {
  it.each([
    ['a=1', 'a', '1'],
    ['aa=2; a=1', 'a', '1'],
    ['a=1; a=2', 'a', '1'],
    ['x=a=9; a="q"', 'a', 'q'],
    ['xa=1', 'a', undefined],
    ['a=;b=2', 'a', undefined],
    ['b=2;a=1 ', 'a', '1'],
    ['a', 'a', undefined],
  ])('%s', (header, name, value) => {
    expect(cookieOf(header, name)).toBe(value);
  });
});

describe('tokens', () => {
  it('are known by their form, and nothing else is taken for one', () => {
    expect(isJwt(token({ a: 1 }))).toBe(true);
    for (const other of ['sk_abc', 'a.b.c', `${token({})}.x`, 'eyJ', '']) expect(isJwt(other)).toBe(false);
    expect(claimsOf('eyJh.bm8.x')).toBeUndefined();
    expect(claimsOf(`eyJh.${Buffer.from('[1]').toString('base64url')}.x`)).toBeUndefined();
  });
});
