/**
 * The gateway's listener: plain predictions are read on the socket itself, HTTP/2 is gRPC's, and everything else is read by
 * Node's own HTTP server.
 */
import { createServer as createHttpServer, type RequestListener } from 'node:http';
import { createServer, type Server, type Socket } from 'node:net';
import type { GrpcConnections } from '../grpc/connections.js';
import { refuseBroken, refuseHostless } from './broken-request.js';
import type { HttpExchange } from './exchange.js';
import { FastConnection } from './fast-connection.js';
import { NodeExchange } from './node-exchange.js';

export interface FrontOptions {
  /** Whether a request target is for the data plane. */
  takes(url: string): boolean;
  /** Answers requests of the data plane. */
  dataPlane(exchange: HttpExchange): void;
  /** Answers all others. */
  readonly control: RequestListener;
  /** Takes connections that begin as HTTP/2. */
  readonly grpc: GrpcConnections;
  readonly maxConnections: number;
  /** How long a body may take to come, in milliseconds. */
  readonly bodyTimeoutMs: number;
  /** A line on which nothing moves for so long is cut, in milliseconds. */
  readonly idleMs: number;
}

export interface Front {
  /** To be told to listen, and where. */
  readonly server: Server;
  /**
   * Takes no more connections, lets requests in flight end, then cuts what is left after `cutMs`. Who holds an open
   * connection hears with the next answer that it was the last; one that asks for nothing in a while is closed.
   */
  close(cutMs: number): Promise<void>;
}

/** Longer than the idle time-out of usual load balancers (60 s), so that they and not we close an idle connection. */
const KEEP_ALIVE_MS = 75_000;
const HEADERS_TIMEOUT_MS = 20_000;
/** A request may be on its way over an idle connection: closed at once, it would be lost. */
const PARTING_MS = 1000;
/** Bodies up to this size are held whole, and may be sent to another replica when the first one dies with them. */
export const MAX_HELD_BYTES = 1024 * 1024;

export function createFront(options: FrontOptions): Front {
  const { takes, dataPlane, control, grpc, idleMs } = options;
  let parting = false;
  const http = createHttpServer(
    {
      keepAliveTimeout: KEEP_ALIVE_MS,
      headersTimeout: HEADERS_TIMEOUT_MS,
      requestTimeout: 0,
      noDelay: true,
      requireHostHeader: false,
    },
    (request, response) => {
      if (refuseHostless(request, response)) return;
      if (parting) response.setHeader('connection', 'close');
      if (takes(request.url ?? '/')) dataPlane(new NodeExchange(request, response));
      else control(request, response);
    },
  );
  http.on('clientError', refuseBroken);
  http.timeout = idleMs;
  // it never listens itself, and would not watch over its connections' time-outs otherwise
  http.emit('listening');
  const open = new Set<FastConnection>();
  // what Node's server expects of a socket that it is given
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    const connection = new FastConnection(socket, {
      takes,
      onExchange: dataPlane,
      handOver: (taken) => {
        forget();
        http.emit('connection', taken);
        keepPaused(taken);
        taken.resume();
      },
      speaksHttp2: (taken, firstBytes) => {
        forget();
        grpc.serve(taken, firstBytes);
      },
      maxBodyBytes: MAX_HELD_BYTES,
      bodyTimeoutMs: options.bodyTimeoutMs,
    });
    const forget = () => {
      open.delete(connection);
      socket.off('close', forget);
      socket.setTimeout(0);
      socket.off('timeout', cut);
    };
    const cut = () => void socket.destroy();
    open.add(connection);
    socket.setTimeout(idleMs, cut);
    socket.on('close', forget);
  });
  server.maxConnections = options.maxConnections;
  return {
    server,
    async close(cutMs) {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      parting = true;
      for (const connection of open) connection.part();
      grpc.drain();
      const end = setTimeout(
        () => {
          for (const connection of open) connection.close();
          // it never listened; what was handed to it is its own to end
          http.close();
          http.closeIdleConnections();
        },
        Math.min(PARTING_MS, cutMs),
      );
      const cut = setTimeout(() => {
        http.closeAllConnections();
        for (const connection of open) connection.cut();
        grpc.cut();
      }, cutMs);
      await closed;
      clearTimeout(end);
      clearTimeout(cut);
      http.close();
    },
  };
}

/**
 * Node's server reads on when a socket is resumed and paused within one turn: it hears of the resumption last, and of no
 * later pause, because the socket is paused already. A body that nobody takes would then be held whole.
 */
function keepPaused(socket: Socket): void {
  socket.on('resume', () => {
    if (socket.isPaused()) socket.emit('pause');
  });
}
