import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { getRequestListener } from '@hono/node-server';
import { afterAll } from 'vitest';
import type { TestGateway } from './test-services.js';

const servers: Server[] = [];
afterAll(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

/** The control API over a real socket, as the gateway runs it; ends after the file's tests. */
export async function serve(gateway: TestGateway): Promise<{ port: number; origin: string; api: string }> {
  const server = createServer(getRequestListener(gateway.app.fetch, { overrideGlobalObjects: false }));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  servers.push(server);
  const { port } = server.address() as AddressInfo;
  const origin = `http://127.0.0.1:${port}`;
  return { port, origin, api: `${origin}/api/v1` };
}
