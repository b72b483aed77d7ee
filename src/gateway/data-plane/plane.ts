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
}

export function createPlane(services: Services): Plane {
  return { services, meterOf: createMeters(services) };
}

/** What of a request decides where it goes. */
export interface Wish {
  readonly authorization: string | undefined;
  readonly apiKey: string | undefined;
  readonly endpoint: string;
  /** A revision's number, by path or header. */
  readonly pin: string | undefined;
  readonly tag: string | undefined;
  /** A header's value by its lower-case name, for the one that the endpoint is sticky by. */
  header(name: string): string | undefined;
}

/** Where a request goes. */
export interface Destination {
  readonly endpoint: EndpointRoute;
  readonly revision: RevisionRoute;
}

/**
 * Finds where a request goes and calls `found`, at once where memory knows; else `refused` with what is wrong. A refusal is
 * counted. Neither is called twice.
 */
export function route(
  { services }: Plane,
  wish: Wish,
  found: (destination: Destination) => void,
  refused: (error: unknown) => void,
): void {
  const refuse = (error: unknown) => {
    services.metrics.refused.inc({ code: asAppError(error).code });
    refused(error);
  };
  const choose = (endpoint: EndpointRoute): Destination => {
    const { pin, tag } = wish;
    const stickyKey = endpoint.stickyHeader === undefined ? undefined : wish.header(endpoint.stickyHeader);
    return { endpoint, revision: chooseRevision(endpoint, { pin, tag, stickyKey, random: Math.random() }) };
  };
  let destination: Destination | undefined;
  try {
    const caller = callerOf(services, wish);
    const endpoint = endpointFor(services, caller, wish.endpoint);
    if (!endpoint) {
      lookAgain(services, caller, wish.endpoint).then(choose).then(found, refuse);
      return;
    }
    destination = choose(endpoint);
  } catch (error) {
    refuse(error);
    return;
  }
  found(destination);
}
