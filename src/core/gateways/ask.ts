/** A gateway over HTTP, as workers ask it: on behalf of a project, like any of its clients. */
import type { Readable } from 'node:stream';

/** A body that is made anew for each try. */
export interface SentBody {
  readonly bytes: number;
  open(): Promise<Readable>;
}

export interface GatewayRequest {
  readonly project: string;
  readonly method: 'POST' | 'GET';
  /** Path and query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: SentBody;
  /** On a connection of its own, so that one that breaks before it is made has certainly carried nothing. */
  readonly fresh?: boolean;
  readonly signal: AbortSignal;
}

export interface GatewayReply {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  /** To be read to its end, or destroyed. It fails when the connection breaks or the signal aborts. */
  readonly body: Readable;
}

/**
 * Asks one of the gateways that live. An answer of any status is an answer. Rejects with `not_ready` when the request
 * certainly reached none, with `upstream_failed` when the connection broke and it may have been worked on, and with the
 * signal's reason.
 */
export type AskGateway = (request: GatewayRequest) => Promise<GatewayReply>;
