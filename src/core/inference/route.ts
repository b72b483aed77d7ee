/** Which revision answers a request: pin, then tag, then rules, then sticky hash, then weighted chance. Pure. */

import { AppError } from '../../errors.js';
import type { Signature } from '../../protocol/signature.js';
import type { Scaling } from '../endpoints/endpoint.js';
import type { Placement } from '../endpoints/placement.js';
import type { RuntimeSettings } from '../endpoints/runtime.js';
import type { Artifact } from '../models/model.js';
import type { ServerSpec } from '../models/server.js';
import type { PayloadLogSettings } from '../payload-log/settings.js';
import type { Resilience } from './resilience.js';
import type { ResponseCacheSettings } from './response-cache/settings.js';
import type { Choice } from './routing/choice.js';
import type { ShadowSettings } from './shadow/settings.js';

/** Where a cluster's revision answers HTTP. */
export interface RevisionAddress {
  readonly url: string;
  /** The name to ask for, where `url` is an ingress that many share. */
  readonly host: string | undefined;
}

export interface RevisionRoute {
  /** Endpoint id and number: the name under which the fleet knows it. */
  readonly key: string;
  readonly endpointId: string;
  readonly endpoint: string;
  readonly number: number;
  readonly modelVersion: number;
  readonly artifact: Artifact;
  readonly framework: string;
  readonly signature: Signature;
  readonly scaling: Scaling;
  readonly runtime: RuntimeSettings;
  readonly placement: Placement;
  /** Of a revision that somebody else's server serves. */
  readonly server: ServerSpec | undefined;
  /** On a cluster, once it answered there. */
  readonly address?: RevisionAddress | undefined;
  /** Why it does not answer on its cluster, in words; undefined when it does or nothing is known. */
  readonly problem?: string | undefined;
  /** Keep replicas until then, whatever the traffic; milliseconds since the epoch. */
  readonly warmUntilMs: number;
  /** With so many; one by default. */
  readonly warmReplicas?: number | undefined;
  /** Most replicas that it may have now, none with 0; undefined: as its scaling says. */
  readonly replicaLimit?: number | undefined;
  /** Its endpoint's; absent where the defaults hold. */
  readonly resilience?: Resilience | undefined;
}

/** The name by which a revision's model server knows its model. */
export function modelNameOf({ server, endpoint }: RevisionRoute): string {
  return server?.modelName ?? endpoint;
}

export interface TargetRoute {
  readonly revision: RevisionRoute;
  readonly percent: number;
  readonly tag: string | undefined;
  /** Copies of so many percent of the endpoint's requests go to it. */
  readonly shadowPercent?: number | undefined;
}

/** Where copies of an endpoint's requests go, and how their answers are compared. */
export interface ShadowRoute {
  readonly settings: ShadowSettings;
  readonly targets: readonly { readonly revision: RevisionRoute; readonly shadowPercent: number }[];
}

/** What routing knows of one endpoint. Immutable: a change replaces the whole object. */
export interface EndpointRoute extends Choice {
  readonly id: string;
  readonly project: string;
  readonly name: string;
  readonly access: 'key' | 'public';
  /** Unloaded by hand: nothing is served until it is loaded again. */
  readonly suspended: boolean;
  /** Absent where nothing is recorded. */
  readonly payloadLog?: PayloadLogSettings | undefined;
  /** Absent where it is off. */
  readonly responseCache?: ResponseCacheSettings | undefined;
  /** Absent where no request is copied. */
  readonly shadow?: ShadowRoute | undefined;
  /** Absent where clients report nothing. */
  readonly feedback?: { readonly secret: string } | undefined;
  /** Where requests go that their revision cannot serve. */
  readonly fallback?: RevisionRoute | undefined;
  /** Outputs whose values are counted; absent where nobody compares them. */
  readonly outputs?: readonly string[] | undefined;
  readonly generation: number;
  readonly targets: readonly TargetRoute[];
  readonly revisions: ReadonlyMap<number, RevisionRoute>;
}

/** The revisions that a request without a pin can be led to: by weights, a tag or a rule. */
export function revisionsInUse({ targets, rules = [] }: EndpointRoute): Set<number> {
  const all = [...targets, ...rules.flatMap((rule) => rule.targets)];
  return new Set(all.map(({ revision }) => revision.number));
}

/** Replicas that a revision keeps whatever the load: its settings' while it has traffic or copies of it, and those that it is kept warm with. */
export function replicaFloor(endpoint: EndpointRoute, revision: RevisionRoute, nowMs: number): number {
  const { targets, rules = [] } = endpoint;
  const isIt = ({ revision: { number } }: TargetRoute) => number === revision.number;
  const served =
    targets.some((target) => isIt(target) && (target.percent > 0 || (target.shadowPercent ?? 0) > 0)) ||
    rules.some((rule) => rule.targets.some(isIt));
  const warm = revision.warmUntilMs > nowMs ? (revision.warmReplicas ?? 1) : 0;
  return Math.max(served ? revision.scaling.minReplicas : 0, warm);
}

export interface RouteRequest {
  /** A revision number from the path or the header. */
  readonly pin?: string | undefined;
  readonly tag?: string | undefined;
  /** Where a rule led, in place of the endpoint's own targets. */
  readonly targets?: readonly TargetRoute[] | undefined;
  readonly stickyKey?: string | undefined;
  /** Uniform in [0, 1). */
  readonly random: number;
}

export function chooseRevision(endpoint: EndpointRoute, request: RouteRequest): RevisionRoute {
  if (endpoint.suspended) {
    throw new AppError('not_ready', `endpoint "${endpoint.name}" is unloaded; a load of it puts it back into service`);
  }
  if (request.pin !== undefined) {
    // one way to write a number, so that what was asked for is what an answer's header says
    const pinned = /^[1-9]\d*$/.test(request.pin) ? endpoint.revisions.get(Number(request.pin)) : undefined;
    if (!pinned)
      throw new AppError('not_found', `endpoint "${endpoint.name}" has no revision "${request.pin}"`, {
        details: { revision: request.pin },
      });
    return pinned;
  }
  if (request.tag !== undefined) {
    const tagged = endpoint.targets.find((target) => target.tag === request.tag);
    if (!tagged)
      throw new AppError('not_found', `endpoint "${endpoint.name}" has no traffic target with tag "${request.tag}"`, {
        details: { tag: request.tag },
      });
    return tagged.revision;
  }
  const targets = request.targets ?? endpoint.targets;
  const only = targets[0];
  if (!only)
    throw new AppError('not_ready', `endpoint "${endpoint.name}" has no revision with traffic yet`, {
      retryAfterSec: 1,
    });
  if (targets.length === 1) return only.revision;
  return request.stickyKey === undefined
    ? byChance(targets, request.random)
    : byStickyHash(endpoint.id, targets, request.stickyKey);
}

function byChance(targets: readonly TargetRoute[], random: number): RevisionRoute {
  let left = random * 100;
  let last: TargetRoute | undefined;
  for (const target of targets) {
    if (target.percent <= 0) continue;
    last = target;
    if (left < target.percent) break;
    left -= target.percent;
  }
  return (last ?? (targets[0] as TargetRoute)).revision;
}

/**
 * Weighted rendezvous hashing (Mosko and others: score = -ln(u) / w, least wins). A target's share is its weight, and
 * when weights move a key changes only to a target whose weight grew in proportion to its own's: through a canary's
 * growing steps each key changes at most once, with no store and the same in every process.
 */
function byStickyHash(salt: string, targets: readonly TargetRoute[], key: string): RevisionRoute {
  let best: TargetRoute | undefined;
  let least = Number.POSITIVE_INFINITY;
  for (const target of targets) {
    if (target.percent <= 0) continue;
    const score = -Math.log(unitHash(`${salt}/${target.revision.number}/${key}`)) / target.percent;
    if (score < least) {
      least = score;
      best = target;
    }
  }
  return (best ?? (targets[0] as TargetRoute)).revision;
}

/** A hash of the text as a number in (0, 1): two FNV-1a lanes, each finished by MurmurHash3's mixer, 53 bits in all. */
export function unitHash(text: string): number {
  let a = 0x811c9dc5;
  let b = 0x01000193;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    a = Math.imul(a ^ code, 0x01000193);
    b = Math.imul(b ^ code, 0x85ebca6b);
  }
  const high = mix(a) >>> 6;
  const low = mix(b ^ a) >>> 5;
  return (high * 2 ** 27 + low + 0.5) / 2 ** 53;
}

function mix(hash: number): number {
  let h = hash;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
