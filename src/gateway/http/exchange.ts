import type { BodyStream } from '../../core/inference/forward.js';

/**
 * Header names in lower case. Those of a frozen object are taken to be the same for many answers, and their text is kept.
 */
export type HeaderFields = Readonly<Record<string, string | number>>;

/** Who answers an exchange, and hears of its line. */
export interface ExchangeOwner {
  /** The client went away before its answer was whole. Called once. */
  gone(): void;
  /** After `send` said false: the line takes more. */
  drained(): void;
}

/** The beginning of an answer. */
export interface AnswerHead {
  readonly status: number;
  readonly headers: HeaderFields;
  /** Goes out as `x-request-id`. */
  readonly requestId: string;
}

/**
 * One HTTP request and its answer, whichever server read it from the line. The request's owner answers once: with `reply`,
 * or with `begin`, `send` and `finish`. What is done after the client has gone does nothing.
 */
export interface HttpExchange {
  readonly method: string;
  /** The request target as sent: path and query. */
  readonly url: string;
  /** A header's value by its lower-case name; the first where there are several. */
  header(name: string): string | undefined;
  /** The body, when all of it is there already; undefined when it must be read. */
  readonly body: Buffer | undefined;
  /** How long the body was said to be; undefined for one of unknown length. */
  readonly bodyBytes: number | undefined;
  /** The body as it comes. To be asked for once, where `body` is undefined. */
  readBody(): BodyStream;

  owner: ExchangeOwner | undefined;
  /** The whole answer. */
  reply(head: AnswerHead, body: Buffer): void;
  /** The beginning of an answer whose body comes piece by piece; of a known length when the headers say one. */
  begin(head: AnswerHead): void;
  /** A piece; false when the line is full: the owner hears once it is not. */
  send(chunk: Buffer): boolean;
  finish(): void;
  /** Cuts an answer off that cannot be finished, so that the client does not take it for whole. */
  abort(): void;
}

export const nothing = (): void => {};
