import { OutputSampler } from '../../core/inference/outputs/sampler.js';
import type { EndpointRoute, RevisionRoute } from '../../core/inference/route.js';
import { chooseRevision } from '../../core/inference/route.js';
import { asAppError } from '../../errors.js';
import type { Services } from '../services.js';
import { callerOf, endpointFor, lookAgain } from './access.js';
import { createMeters, type RevisionMeter } from './meters.js';

/** What the doors of predictions share: HTTP and gRPC translate, and this is what they translate to. */
export interface Plane {
  readonly services: Services;
  meterOf(revision: RevisionRoute): RevisionMeter;
  /** Counts what models give, where an endpoint's route names outputs. */
  readonly outputs: OutputSampler;
}

export function createPlane(services: Services): Plane {
  const { observations, log, clock } = services;
  const outputs = new OutputSampler(observations, log, () => clock.now());
  return { services, meterOf: createMeters(services), outputs };
}

/** Where to look a request's headers up, by their lower-case names; gRPC's metadata is the same thing. */
export interface HeaderSource {
  header(name: string): string | undefined;
}

/** What a request names: an endpoint, and perhaps a revision of it by number or by tag. */
export interface Named {
  readonly name: string;
  readonly version?: string | undefined;
  readonly tag?: string | undefined;
}

/** Where a request goes. */
export interface Destination {
  readonly endpoint: EndpointRoute;
  readonly revision: RevisionRoute;
}

/**
 * Where a request goes: at once where memory knows, else after a look into the database. What is wrong with the request is
 * thrown, or rejected with, and counted.
 */
export function route(plane: Plane, source: HeaderSource, named: Named): Destination | Promise<Destination> {
  const { services } = plane;
  try {
    const authorization = source.header('authorization');
    const caller = callerOf(services, { authorization, apiKey: source.header('x-api-key') });
    const endpoint = endpointFor(services, caller, named.name);
    if (endpoint) return choose(endpoint, source, named);
    return lookAgain(services, caller, named.name)
      .then((found) => choose(found, source, named))
      .catch((error) => refuse(services, error));
  } catch (error) {
    return refuse(services, error);
  }
}

function choose(endpoint: EndpointRoute, source: HeaderSource, named: Named): Destination {
  const revision = chooseRevision(endpoint, {
    pin: named.version ?? source.header('sluice-revision'),
    tag: named.tag ?? source.header('sluice-tag'),
    stickyKey: endpoint.stickyHeader === undefined ? undefined : source.header(endpoint.stickyHeader),
    random: Math.random(),
  });
  return { endpoint, revision };
}

function refuse({ metrics }: Services, error: unknown): never {
  metrics.refused.inc({ code: asAppError(error).code });
  throw error;
}
