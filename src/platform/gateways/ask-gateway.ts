/** Asks gateways over HTTP with a key that the worker makes for itself. */
import { Agent, request as httpRequest, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import type { AskGateway, GatewayReply, GatewayRequest } from '../../core/gateways/ask.js';
import { discard } from '../../core/gateways/replies.js';
import { AppError, messageOf } from '../../errors.js';

export interface AskGatewayOptions {
  /** Addresses of the gateways that live. */
  gateways(): Promise<readonly string[]>;
  /** A live key of the project that may predict; another one than was `refused`. */
  keyFor(project: string, refused?: string): Promise<string>;
  /** A line on which nothing moves for so long is given up. */
  readonly idleMs: number;
}

/** How long the list of gateways is good for. */
const LIST_MS = 1000;
/** How long a new key may take to be known to the gateway that is asked. */
const KEY_TRAVEL_MS = 5000;
const KEY_WAIT_MS = 100;

export function createAskGateway(options: AskGatewayOptions): AskGateway & { close(): void } {
  // below the time after which a gateway closes an idle connection, so that none is used in the moment of its end
  const agents = { keepAlive: true, maxSockets: 256, timeout: 30_000 };
  const http = new Agent(agents);
  const https = new HttpsAgent(agents);
  let list: { readonly at: number; readonly urls: readonly string[] } | undefined;

  const someGateway = async (): Promise<URL> => {
    if (!list || performance.now() - list.at > LIST_MS)
      list = { at: performance.now(), urls: await options.gateways() };
    const url = list.urls[Math.floor(Math.random() * list.urls.length)];
    if (url === undefined) throw new AppError('not_ready', 'no gateway has been heard of lately');
    return new URL(url);
  };

  const once = async (request: GatewayRequest, key: string): Promise<GatewayReply> => {
    const base = await someGateway();
    const kept = base.protocol === 'https:' ? https : http;
    return send(base, request, { key, agent: request.fresh ? false : kept, idleMs: options.idleMs });
  };

  const ask = async (request: GatewayRequest): Promise<GatewayReply> => {
    let key = await options.keyFor(request.project);
    const until = performance.now() + KEY_TRAVEL_MS;
    for (let renewed = false; ; ) {
      const reply = await once(request, key);
      if (reply.status !== 401) return reply;
      discard(reply);
      // the news of a key may still be on its way; one that is not known for long is worth another, once
      if (performance.now() > until) throw new AppError('not_ready', 'the gateway does not know the key of its worker');
      if (!renewed) key = await options.keyFor(request.project, key);
      renewed = true;
      await sleep(KEY_WAIT_MS, undefined, { signal: request.signal });
    }
  };
  const close = () => {
    http.destroy();
    https.destroy();
  };
  return Object.assign(ask, { close });
}

interface Sending {
  readonly key: string;
  /** False: a connection of its own. */
  readonly agent: Agent | false;
  readonly idleMs: number;
}

async function send(base: URL, request: GatewayRequest, { key, agent, idleMs }: Sending): Promise<GatewayReply> {
  const { path, method, headers, body, signal } = request;
  const source = await body.open().catch((error: unknown) => {
    throw new AppError('not_ready', `the request's body cannot be read: ${messageOf(error)}`, { cause: error });
  });
  return new Promise<GatewayReply>((resolve, reject) => {
    let reached = false;
    const sender = base.protocol === 'https:' ? httpsRequest : httpRequest;
    const sending = sender(new URL(path, base), {
      method,
      agent,
      signal,
      timeout: idleMs,
      headers: { ...headers, authorization: `Bearer ${key}`, 'content-length': body.bytes },
    });
    const fail = (error: Error) => {
      if (signal.aborted) reject(signal.reason);
      else if (error instanceof AppError) reject(error);
      else if (reached) reject(new AppError('upstream_failed', `the gateway's connection broke: ${messageOf(error)}`));
      else reject(new AppError('not_ready', `no gateway at ${base.origin}: ${messageOf(error)}`));
    };
    sending.on('socket', (socket) => {
      if (socket.connecting) socket.once('connect', () => (reached = true));
      else reached = true;
    });
    sending.on('timeout', () => sending.destroy(new AppError('upstream_failed', `nothing moved for ${idleMs} ms`)));
    sending.on('error', fail);
    sending.on('response', (response) => {
      resolve({ status: response.statusCode ?? 0, headers: textHeaders(response), body: response });
    });
    // an answer may come before all of the body is sent: what is left is then not wanted
    sending.on('close', () => source.destroy());
    source.on('error', (error) => sending.destroy(error));
    source.pipe(sending);
  });
}

function textHeaders({ headers }: IncomingMessage): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).flatMap(([name, value]) => (typeof value === 'string' ? [[name, value]] : [])),
  );
}
