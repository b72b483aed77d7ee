/** Hands a request on to the gateways, and their answer back, as they come. */
import http, {
  type IncomingHttpHeaders,
  type IncomingMessage,
  type OutgoingHttpHeaders,
  type ServerResponse,
} from 'node:http';
import https from 'node:https';
import { pipeline } from 'node:stream';
import { HOP_BY_HOP } from '../../protocol/hop-by-hop.js';
import { away } from '../pod/http-get.js';

/** Resolves when the answer has begun or its client has left; rejects when there is none. Silence is the client's to end. */
export function relay(url: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { method, headers } = request;
  const { host: _own, expect: _answered, ...handed } = headers;
  return new Promise((resolve, reject) => {
    const asking = (url.startsWith('https:') ? https : http).request(url, { method, headers: endToEnd(handed) });
    asking.on('error', (error) =>
      response.headersSent ? response.destroy() : reject(away(new URL(url).origin, error)),
    );
    asking.on('response', (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.statusMessage, endToEnd(answer.headers));
      // an answer that breaks off breaks off here too
      pipeline(answer, response, () => undefined);
      resolve();
    });
    response.on('close', () => {
      if (!response.writableFinished) asking.destroy();
      resolve();
    });
    // not by a pipeline: a gateway may answer, and refuse, before it has all
    request.pipe(asking);
  });
}

function endToEnd(headers: IncomingHttpHeaders): OutgoingHttpHeaders {
  const named = String(headers.connection ?? '')
    .split(',')
    .map((name) => name.trim().toLowerCase());
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !HOP_BY_HOP.has(name) && !named.includes(name)));
}
