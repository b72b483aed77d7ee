import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A model server that answers every prediction with the same number: what is measured is the way to it. */
export async function startStandIn(): Promise<{ readonly url: string; stop(): void }> {
  const answer = JSON.stringify({
    model_name: 'stand-in',
    outputs: [{ name: 'Y', datatype: 'FP32', shape: [1], data: [1] }],
  });
  const server = createServer((request, response) => {
    request.resume();
    request.on('end', () => {
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': answer.length });
      response.end(answer);
    });
  });
  server.keepAliveTimeout = 0;
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const stop = () => {
    server.close();
    server.closeAllConnections();
  };
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, stop };
}
