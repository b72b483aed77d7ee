import type { BodyStream } from '../../core/inference/forward.js';

/** Header names in lower case. */
export type HeaderFields = Readonly<Record<string, string | number>>;

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

  /** Called once if the client goes away before its answer is whole. */
  onGone: () => void;
  /** The whole answer. */
  reply(status: number, headers: HeaderFields, body: Buffer): void;
  /** The beginning of an answer whose body comes piece by piece; of a known length when the headers say one. */
  begin(status: number, headers: HeaderFields): void;
  /** A piece; false when the line is full: `onDrain` is then called once it is not. */
  send(chunk: Buffer): boolean;
  onDrain: () => void;
  finish(): void;
  /** Cuts an answer off that cannot be finished, so that the client does not take it for whole. */
  abort(): void;
}

export const nothing = (): void => {};
