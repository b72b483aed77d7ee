/** A model server that is ready at once, and takes seconds for a prediction; and one that is gone. */
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface SlowServer {
  readonly url: string;
  close(): Promise<void>;
}

/** Answers predictions after so many milliseconds, with words that are no prediction. */
export async function startSlowServer(delayMs: number): Promise<SlowServer> {
  const server: Server = createServer((request, response) => {
    request.resume();
    if (request.method === 'GET') response.end('{}');
    else setTimeout(() => response.end('{}'), delayMs);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
