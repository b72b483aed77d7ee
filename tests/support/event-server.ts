/** An HTTP server that takes CloudEvents, well or badly. */
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll } from 'vitest';

export interface TakenEvent {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

export interface EventServer {
  readonly url: string;
  readonly port: number;
  /** Requests as they came, also those that were refused. */
  readonly taken: readonly TakenEvent[];
  /** How the next requests are answered; 204 unless it is set. */
  answer: (response: ServerResponse, event: TakenEvent) => void;
}

const closers: (() => void)[] = [];
afterAll(() => {
  for (const close of closers.splice(0)) close();
});

/** Starts it on a free port, or the given one; it ends after the file's tests. */
export async function eventServer(port = 0): Promise<EventServer & { close(): void }> {
  const taken: TakenEvent[] = [];
  const http = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const event = { path: request.url ?? '', headers: request.headers, body: Buffer.concat(chunks) };
      taken.push(event);
      server.answer(response, event);
    });
  });
  await new Promise<void>((resolve) => http.listen(port, '127.0.0.1', resolve));
  const close = () => {
    http.closeAllConnections();
    http.close();
  };
  closers.push(close);
  const bound = (http.address() as AddressInfo).port;
  const server: EventServer & { close(): void } = {
    url: `http://127.0.0.1:${bound}`,
    port: bound,
    taken,
    answer: (response) => void response.writeHead(204).end(),
    close,
  };
  return server;
}
