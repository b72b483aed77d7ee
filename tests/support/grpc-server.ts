import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { afterAll } from 'vitest';
import { type GrpcConnection, type GrpcOptions, serveGrpc } from '../../src/gateway/grpc/serve.js';

const servers: { server: Server; sockets: Set<Socket> }[] = [];
afterAll(() => {
  for (const { server, sockets } of servers.splice(0)) {
    server.close();
    for (const socket of sockets) socket.destroy();
  }
});

export interface TestGrpcServer {
  readonly port: number;
  /** Every connection so far. */
  readonly connections: GrpcConnection[];
  /** Errors that are nobody's but ours. */
  readonly faults: unknown[];
}

/** Accepts connections on a free port and hands each to `onSocket`; ends after the file's tests. */
export async function listen(onSocket: (socket: Socket) => void): Promise<number> {
  const sockets = new Set<Socket>();
  const server = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    onSocket(socket);
  });
  servers.push({ server, sockets });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}

/** A gRPC server of these calls. */
export async function grpcServer(
  options: Omit<GrpcOptions, 'onFault' | 'maxMessageBytes'> & { maxMessageBytes?: number },
): Promise<TestGrpcServer> {
  const connections: GrpcConnection[] = [];
  const faults: unknown[] = [];
  const port = await listen((socket) => {
    const onFault = (error: unknown) => faults.push(error);
    connections.push(serveGrpc(socket, { maxMessageBytes: 64 * 2 ** 20, ...options, onFault }));
  });
  return { port, connections, faults };
}
