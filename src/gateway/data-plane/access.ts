/** Who asks, and which endpoint they may use: in memory, and only before a refusal once more in the database. */
import { ANONYMOUS, type Caller } from '../../core/access/key.js';
import type { EndpointRoute } from '../../core/inference/route.js';
import { AppError } from '../../errors.js';
import { authenticate, type KeyHeaders, presentsTokenAlone } from '../auth.js';
import type { Services } from '../services.js';

/** The caller that a request's headers name; nobody in particular without a key. Throws `unauthenticated` for a bad one. */
export function callerOf(services: Services, headers: KeyHeaders): Caller {
  if (headers.authorization === undefined && headers.apiKey === undefined) return ANONYMOUS;
  const caller = authenticate(headers, services.keys, services.clock.now());
  if (caller) return caller;
  // nobody in particular: a public endpoint may route by such a token, and it opens no other one
  if (presentsTokenAlone(headers)) return ANONYMOUS;
  throw new AppError('unauthenticated', 'this key is not known, has expired or was revoked');
}

/** The endpoint of this name, when the caller may use it and it can answer. */
export function endpointFor({ routing }: Services, caller: Caller, name: string): EndpointRoute | undefined {
  const endpoint = routing.find(caller.project, name);
  if (!endpoint || endpoint.targets.length === 0 || endpoint.suspended) return undefined;
  return endpoint.access === 'public' || caller.role !== 'anonymous' ? endpoint : undefined;
}

/** What would be refused is looked up once more in the database: the news of it may still be on its way. */
export async function lookAgain(services: Services, caller: Caller, name: string): Promise<EndpointRoute> {
  const { routing, db, clock } = services;
  const known = routing.find(caller.project, name);
  if (caller.role === 'anonymous' && known?.access !== 'public')
    throw new AppError('unauthenticated', 'a key is needed: send Authorization: Bearer KEY');
  if (!routing.loaded)
    throw new AppError('not_ready', 'the gateway has not read its routing yet', { retryAfterSec: 1 });
  // with the database away, what is known is the answer
  await routing.lookAgain(db, caller.project, name, clock.now()).catch(() => {});
  const endpoint = routing.find(caller.project, name);
  if (!endpoint) throw new AppError('not_found', `there is no endpoint "${name}"`);
  return endpoint;
}

/** Refuses callers who may not change what is served. */
export function requireAdmin({ role }: Caller): void {
  if (role === 'admin') return;
  if (role === 'anonymous') throw new AppError('unauthenticated', 'a key is needed: send Authorization: Bearer KEY');
  throw new AppError('forbidden', 'this takes an admin key');
}

/** The endpoints that the caller may use. */
export function visibleEndpoints({ routing }: Services, caller: Caller): EndpointRoute[] {
  return [...routing.all()].filter(
    (endpoint) => endpoint.project === caller.project && (endpoint.access === 'public' || caller.role !== 'anonymous'),
  );
}
