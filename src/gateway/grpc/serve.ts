/** gRPC over HTTP/2 on a connection that was accepted: calls are handed to whoever serves them. */
import type { Socket } from 'node:net';
import { Http2Connection } from '../http2/connection.js';
import { DEFAULT_LIMITS, type Http2Limits } from '../http2/limits.js';
import type { Http2Stream, StreamReceiver } from '../http2/stream.js';
import { type CallContext, type CallReceiver, GrpcCall } from './call.js';
import { httpRefusal } from './call-head.js';

export interface GrpcOptions {
  /** The largest message that a client may send, unpacked. */
  readonly maxMessageBytes: number;
  /** A call's head is there. It says who takes the messages, or throws to refuse the call before any is taken. */
  onCall(call: GrpcCall): CallReceiver;
  /** An error that is nobody's but ours, for the log. The call, or the connection, was ended because of it. */
  onFault(error: unknown, requestId?: string): void;
  readonly limits?: Partial<Http2Limits>;
  /** What was read from the socket before, to see what it speaks. */
  readonly firstBytes?: Buffer;
}

export interface GrpcConnection {
  /** Calls that are not answered yet. */
  readonly openCalls: number;
  /** Tells the client to take its next calls elsewhere, finishes what is open, then closes. */
  drain(): void;
  /** Ends everything at once; calls that are open are cancelled. */
  destroy(): void;
}

/** What the unfinished messages of a connection may hold together, in messages of the largest size. */
const UNFINISHED_MESSAGES = 4;
/** Dead clients are found by the kernel. */
const KEEP_ALIVE_MS = 60_000;

/** Serves gRPC on a socket. All of it is its connection's: it closes the socket, and hears of its errors. */
export function serveGrpc(socket: Socket, options: GrpcOptions): GrpcConnection {
  const limits = { ...DEFAULT_LIMITS, ...options.limits };
  const { maxMessageBytes, onCall, onFault } = options;
  const context: CallContext = {
    bounds: { maxMessageBytes, budget: { left: UNFINISHED_MESSAGES * maxMessageBytes } },
    limits,
    onFault,
  };
  socket.setNoDelay(true);
  socket.setKeepAlive(true, KEEP_ALIVE_MS);
  const onStream = (stream: Http2Stream) => open(stream, onCall, context);
  const connection = new Http2Connection(socket, { limits, onStream, onFault });
  if (options.firstBytes) connection.read(options.firstBytes);
  return {
    get openCalls() {
      return connection.openStreams;
    },
    drain: () => connection.drain(),
    destroy: () => connection.destroy(),
  };
}

function open(stream: Http2Stream, onCall: GrpcOptions['onCall'], context: CallContext): StreamReceiver {
  const call = new GrpcCall(stream, context);
  const refusal = httpRefusal(stream.head);
  if (refusal === undefined) call.begin(onCall);
  else call.refusePlainly(refusal);
  return call;
}
