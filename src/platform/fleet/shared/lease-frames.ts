/**
 * How processes that answer clients borrow slots from the one that holds the replicas: over a Unix socket, in the frames of
 * the hop to replicas. A request frame asks for a slot of a revision (its meta's path is the revision's key, its method
 * says whether it is for a copy of a request); the answer
 * grants one, with the replica's address, or says why there is none; a cancel frame of the same id gives the slot back, or
 * the place in the queue up. The cancel of an answered request carries how long it waited in the replica; one that says that
 * more follows blames the replica. Which replica is wished for is in a request's headers.
 */
import type { LeaseWish, ReplicaAddress } from '../../../core/inference/pool.js';
import { AppError, type ErrorCode, WIRE } from '../../../errors.js';
import { encodeMeta, type RequestMeta, type ResponseMeta } from '../../../protocol/frames.js';

const GRANTED = 200;

const COPY = 'LEASE-COPY';

/** Asks for a slot of the revision of this key. */
export function leaseMeta(key: string, copy: boolean, wish?: LeaseWish): Buffer {
  const method = copy ? COPY : 'LEASE';
  if (!wish) return encodeMeta({ method, path: key });
  return encodeMeta({ method, path: key, headers: { avoid: wish.avoid, at: wish.atOnce ? 'once' : 'leisure' } });
}

/** What is asked for. */
export interface AskedLease {
  readonly key: string;
  readonly copy: boolean;
  readonly wish: LeaseWish | undefined;
}

export function readLease({ method, path, headers }: RequestMeta): AskedLease {
  const avoid = headers?.avoid;
  const wish = avoid === undefined ? undefined : { avoid, atOnce: headers?.at === 'once' };
  return { key: path, copy: method === COPY, wish };
}

/** A grant, as its frame says it. Header values must be text. */
export interface Grant {
  readonly id: string;
  readonly address: ReplicaAddress;
}

export function grantMeta({ id, address }: Grant): Buffer {
  return encodeMeta({ status: GRANTED, headers: { id, address: JSON.stringify(address) } });
}

export function refusalMeta({ code, message, retryAfterSec }: AppError): ResponseMeta {
  const retry = retryAfterSec === undefined ? {} : { retry: String(retryAfterSec) };
  // a frame's meta is bounded
  return { status: WIRE[code].http, headers: { code, message: message.slice(0, 4000), ...retry } };
}

/** Reads an answer; throws for what the other process, of the same program, would not send. */
export function readAnswer({ status, headers }: ResponseMeta): Grant | AppError {
  if (status === GRANTED) {
    return { id: headers.id ?? '', address: JSON.parse(headers.address ?? '') as ReplicaAddress };
  }
  const retryAfterSec = headers.retry === undefined ? undefined : Number(headers.retry);
  return new AppError((headers.code ?? 'internal') as ErrorCode, headers.message ?? '', {
    ...(retryAfterSec === undefined ? {} : { retryAfterSec }),
  });
}
