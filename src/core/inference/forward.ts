/** The gateway's way to a replica, whatever it is made of. */
import { AppError } from '../../errors.js';

/** A body that comes piece by piece, as fast as its reader takes it. It has one reader. */
export interface BodyStream {
  /** Lets it flow from now on. */
  read(sink: BodySink): void;
  /** Asks it to stop for a while; what is under way may still come. */
  pause(): void;
  resume(): void;
}

/** Takes a body. After `end` or `failed` it hears nothing more. */
export interface BodySink {
  chunk(bytes: Buffer): void;
  end(): void;
  /** The body will not be whole. */
  failed(error: AppError): void;
}

/** One request as it travels to a replica. Header names are lower-case. */
export interface Call {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  /** The body, or its beginning. */
  readonly body: Buffer;
  /** What comes behind `body`, for a body too large to be held. */
  readonly rest?: BodyStream | undefined;
  /** How long from now the answer is of use, in milliseconds. */
  readonly timeoutMs?: number | undefined;
  /** W3C `traceparent` of the one who asked. */
  readonly trace?: string | undefined;
}

/** The beginning of an answer. An answer of any status is an answer, not an error. */
export interface ReplyHead {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** The body goes on in `onData`, and ends with `onEnd`. */
  readonly more: boolean;
  /** The replica has done its work already: what is left is only to be carried. */
  readonly worked: boolean;
  /** How long the request waited in the replica before it was worked on, in milliseconds; undefined: not at all, or unknown. */
  readonly queuedMs?: number | undefined;
  /** No replica was asked: the answer was kept from before. */
  readonly cached?: boolean | undefined;
}

/** Takes an answer. `onReply` comes first, or `onError` in its place; after `onEnd` or `onError` it hears nothing more. */
export interface ReplyHandler {
  onReply(head: ReplyHead, body: Buffer): void;
  onData(chunk: Buffer): void;
  onEnd(): void;
  /** `upstream_failed` when the replica went away before the answer was whole; what the request's own body failed with. */
  onError(error: AppError): void;
}

/** A call under way. */
export interface Exchange {
  /** Tells the replica that nobody waits any more; the handler hears nothing more. */
  cancel(): void;
  /** Asks for no more of the answer's body for a while; what is under way may still come. */
  pause(): void;
  resume(): void;
}

const UNSENT = { sent: false };

/** The same failure, of a call that no replica got to see: whatever it does, it did not. */
export function unsent({ code, message, retryAfterSec, cause }: AppError): AppError {
  return new AppError(code, message, {
    details: UNSENT,
    cause,
    ...(retryAfterSec === undefined ? {} : { retryAfterSec }),
  });
}

/** Whether a replica may have begun with a call that failed so. */
export function mayHaveBegun({ code, details }: AppError): boolean {
  // who is refused a slot, or by what stands before the replicas, was not handed to one
  return code !== 'not_ready' && code !== 'overloaded' && details?.sent !== false;
}

/** Sends a call to one replica. May throw for a call that cannot be sent; the handler then hears nothing. */
export type Forward = (call: Call, handler: ReplyHandler) => Exchange;

/** An answer in one piece. */
export interface Reply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

/** Sends a call and collects its answer. `cancel` rejects it with `cancelled`. */
export function ask(forward: Forward, call: Call): { readonly reply: Promise<Reply>; cancel(): void } {
  let exchange: Exchange | undefined;
  let fail: (error: unknown) => void = () => {};
  const reply = new Promise<Reply>((resolve, reject) => {
    fail = reject;
    const chunks: Buffer[] = [];
    let head: ReplyHead;
    const settle = () =>
      resolve({
        status: head.status,
        headers: head.headers,
        body: chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks),
      });
    exchange = forward(call, {
      onReply(began, body) {
        head = began;
        chunks.push(body);
        if (!began.more) settle();
      },
      onData: (chunk) => void chunks.push(chunk),
      onEnd: settle,
      onError: reject,
    });
  });
  return {
    reply,
    cancel() {
      exchange?.cancel();
      fail(new AppError('cancelled', 'the request was cancelled'));
    },
  };
}
