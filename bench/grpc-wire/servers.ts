/** The servers that are compared: each answers a unary call with its message. */
import http from 'node:http';
import http2 from 'node:http2';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { serveGrpc } from '../../src/gateway/grpc/serve.js';
import { unary } from '../../src/gateway/grpc/unary.js';

export const SERVERS: Readonly<Record<string, () => Server>> = {
  sluice,
  'node:http2': nodeHttp2,
  'node:http': nodeHttp,
};

/** Serves until the process is killed; prints the port. */
export async function serve(name: string): Promise<never> {
  const server = SERVERS[name]?.();
  if (!server) throw new Error(`there is no server "${name}"`);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  console.log((server.address() as AddressInfo).port);
  return new Promise(() => {});
}

function sluice(): Server {
  return createServer({ noDelay: true }, (socket) => {
    serveGrpc(socket, {
      maxMessageBytes: 2 ** 20,
      onCall: (call) =>
        unary((message) => {
          call.reply([message]);
          return undefined;
        }),
      onFault: (error) => console.error(error),
    });
  });
}

function nodeHttp2(): Server {
  const server = http2.createServer({ settings: { maxConcurrentStreams: 1000 } });
  server.on('stream', (stream) => {
    const chunks: Buffer[] = [];
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.on('error', () => {});
    stream.on('end', () => {
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
      stream.end(chunks.length === 1 ? chunks[0] : Buffer.concat(chunks));
    });
  });
  return server;
}

/** What the same bytes cost as an HTTP/1.1 POST. */
function nodeHttp(): Server {
  return http.createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const body = chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks);
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': body.length });
      response.end(body);
    });
  });
}
