/** Who makes a request: the key in its headers, looked up in the table that the gateway keeps in memory. */
import type { MiddlewareHandler } from 'hono';
import type { Caller } from '../core/access/key.js';
import type { KeyTable } from '../core/access/store.js';
import { isJwt } from '../core/inference/routing/claims.js';
import { AppError } from '../errors.js';
import type { GatewayEnv } from './env.js';
import type { Services } from './services.js';

/** The values of the headers that can carry a key. */
export interface KeyHeaders {
  readonly authorization: string | undefined;
  /** `X-API-Key`. */
  readonly apiKey: string | undefined;
}

/** The key that a request presents: `Bearer KEY`, `X-API-Key: KEY`, or Basic with the key as password. */
export function presentedKey(headers: KeyHeaders): string | undefined {
  const { authorization } = headers;
  // as nearly everybody sends it
  if (authorization?.startsWith('Bearer ') && !authorization.includes(' ', 7)) return authorization.slice(7);
  const [, scheme, credentials] = /^(\w+) +(\S+) *$/.exec(authorization ?? '') ?? [];
  if (credentials !== undefined) {
    if (scheme?.toLowerCase() === 'bearer') return credentials;
    if (scheme?.toLowerCase() === 'basic') {
      const pair = Buffer.from(credentials, 'base64').toString('utf8');
      return pair.slice(pair.indexOf(':') + 1);
    }
  }
  return headers.apiKey;
}

/** The caller that the presented key stands for; undefined when there is no key, or none that is live. */
export function authenticate(headers: KeyHeaders, keys: KeyTable, nowMs: number): Caller | undefined {
  const key = presentedKey(headers);
  if (key === undefined) return undefined;
  const caller = keys.find(key, nowMs);
  // a bearer may be the token of the client's own user, and the key is in the other header
  if (!caller && headers.apiKey !== undefined && isJwt(key)) return keys.find(headers.apiKey, nowMs);
  return caller;
}

/** Whether all that is presented is a token of the client's own user, which says nothing here. */
export function presentsTokenAlone(headers: KeyHeaders): boolean {
  return headers.apiKey === undefined && isJwt(presentedKey(headers) ?? '');
}

/** Lets nobody in without a live key, and notes who it is. */
export function authenticated(services: Services): MiddlewareHandler<GatewayEnv> {
  return async (c, next) => {
    const headers = { authorization: c.req.header('authorization'), apiKey: c.req.header('x-api-key') };
    const caller = authenticate(headers, services.keys, services.clock.now());
    if (!caller) {
      throw new AppError(
        'unauthenticated',
        presentedKey(headers) === undefined
          ? 'a key is needed: send Authorization: Bearer KEY'
          : 'this key is not known, has expired or was revoked',
      );
    }
    c.set('caller', caller);
    await next();
  };
}

/** Lets only callers of a role on; runs after `authenticated`. */
export function requireRole(role: Caller['role']): MiddlewareHandler<GatewayEnv> {
  return async (c, next) => {
    const caller = c.get('caller');
    if (caller.role !== role) {
      throw new AppError('forbidden', `this needs a key of role ${role}; "${caller.actor}" is of role ${caller.role}`, {
        details: { needed: role, role: caller.role },
      });
    }
    await next();
  };
}
