import { createServer, type Server, type Socket } from 'node:net';
import { type GrpcConnection, type GrpcOptions, serveGrpc } from './serve.js';

/** All connections of a gateway that speak gRPC, whichever port they came to. */
export class GrpcConnections {
  private readonly open = new Set<GrpcConnection>();
  private closing = false;

  constructor(private readonly options: Omit<GrpcOptions, 'firstBytes'>) {}

  /** Takes a connection over; `firstBytes`: what was read of it already. */
  serve(socket: Socket, firstBytes?: Buffer): void {
    const connection = serveGrpc(socket, { ...this.options, ...(firstBytes ? { firstBytes } : {}) });
    this.open.add(connection);
    socket.on('close', () => this.open.delete(connection));
    if (this.closing) connection.drain();
  }

  /** A listener for gRPC alone, to be told to listen, and where. */
  listener(maxConnections: number): Server {
    const server = createServer({ noDelay: true }, (socket) => this.serve(socket));
    server.maxConnections = maxConnections;
    return server;
  }

  /** Lets calls in flight end, and sends clients elsewhere with their next ones. */
  drain(): void {
    this.closing = true;
    for (const connection of this.open) connection.drain();
  }

  /** Ends all at once. */
  cut(): void {
    for (const connection of this.open) connection.destroy();
  }
}
