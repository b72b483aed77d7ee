import type { Caller } from '../../core/access/key.js';
import { OutputSampler } from '../../core/inference/outputs/sampler.js';
import type { EndpointRoute, RevisionRoute } from '../../core/inference/route.js';
import { chooseRevision } from '../../core/inference/route.js';
import { targetsByRule } from '../../core/inference/routing/choice.js';
import type { HeaderSource } from '../../core/inference/routing/header-source.js';
import { type AttemptNews, createSending, type Sending } from '../../core/inference/sending.js';
import { asAppError } from '../../errors.js';
import type { Services } from '../services.js';
import { callerOf, endpointFor, lookAgain } from './access.js';
import { createMeters, type RevisionMeter } from './meters.js';

/** What the doors of predictions share: HTTP and gRPC translate, and this is what they translate to. */
export interface Plane {
  readonly services: Services;
  readonly sending: Sending;
  meterOf(revision: RevisionRoute): RevisionMeter;
  /** Counts what models give, where an endpoint's route names outputs. */
  readonly outputs: OutputSampler;
}

export function createPlane(services: Services): Plane {
  const { observations, log, clock, fleet } = services;
  return {
    services,
    sending: createSending(fleet, attemptNews(services)),
    meterOf: createMeters(services),
    outputs: new OutputSampler(observations, log, () => clock.now()),
  };
}

export type { HeaderSource };

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
  /** Whether the request named the revision, by its number or a tag. */
  readonly pinned: boolean;
  /** Where it goes when that revision cannot serve it. */
  readonly fallback?: RevisionRoute | undefined;
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
    if (endpoint) return choose(endpoint, source, named, caller);
    return lookAgain(services, caller, named.name)
      .then((found) => choose(found, source, named, caller))
      .catch((error) => refuse(services, error));
  } catch (error) {
    return refuse(services, error);
  }
}

function choose(endpoint: EndpointRoute, source: HeaderSource, named: Named, caller: Caller): Destination {
  const { rules, sticky } = endpoint;
  const pin = named.version ?? source.header('sluice-revision');
  const tag = named.tag ?? source.header('sluice-tag') ?? source.header('knative-serving-tag');
  const revision = chooseRevision(endpoint, {
    pin,
    tag,
    targets: rules === undefined ? undefined : targetsByRule(rules, source, caller),
    stickyKey: sticky === undefined ? undefined : sticky(source, caller),
    random: Math.random(),
  });
  const pinned = pin !== undefined || tag !== undefined;
  const { fallback } = endpoint;
  // who names one wants that one, or to know that it does not serve
  if (fallback === undefined || fallback === revision || pinned) return { endpoint, revision, pinned };
  return { endpoint, revision, pinned, fallback };
}

function refuse({ metrics }: Services, error: unknown): never {
  metrics.refused.inc({ code: asAppError(error).code });
  throw error;
}

function attemptNews({ metrics }: Services): AttemptNews {
  const labels = ({ endpoint, number }: RevisionRoute) => ({ endpoint, revision: String(number) });
  return {
    retried: (revision) => metrics.retries.inc(labels(revision)),
    budgetSpent: (revision) => metrics.retryBudgetSpent.inc(labels(revision)),
    hedged: (revision, outcome) => metrics.hedges.inc({ ...labels(revision), outcome }),
  };
}
