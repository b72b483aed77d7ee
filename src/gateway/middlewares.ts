/** What every request of the control API passes through, apart from who makes it. */
import { randomUUID } from 'node:crypto';
import type { Context, MiddlewareHandler } from 'hono';
import { AppError, messageOf } from '../errors.js';
import type { GatewayEnv } from './env.js';
import { saneRequestId } from './request-ids.js';
import type { Services } from './services.js';

/** A hook's token is a secret, though it stands in an address. */
const HOOK_TOKEN = /\/hooks\/hk_[^/]+/;

/** Gives the request its id, says it in the answer, and notes the request in the log. */
export function requestId(services: Services): MiddlewareHandler<GatewayEnv> {
  return async (c, next) => {
    const id = saneRequestId(c.req.header('x-request-id')) ?? randomUUID();
    c.set('requestId', id);
    c.header('X-Request-Id', id);
    const began = performance.now();
    await next();
    services.log.debug('request', {
      requestId: id,
      method: c.req.method,
      path: c.req.path.replace(HOOK_TOKEN, '/hooks/…'),
      status: c.res.status,
      ms: Number((performance.now() - began).toFixed(1)),
    });
  };
}

/** Tells browsers to take answers as what they are and to frame, run and keep nothing. Pages set a policy of their own. */
export const securityHeaders: MiddlewareHandler<GatewayEnv> = async (c, next) => {
  c.header('X-Content-Type-Options', 'nosniff');
  c.header('X-Frame-Options', 'DENY');
  c.header('Referrer-Policy', 'no-referrer');
  c.header('Cache-Control', 'no-store');
  c.header('Content-Security-Policy', "default-src 'none'; frame-ancestors 'none'");
  await next();
};

/** Whether the client asks for a live stream of events rather than for what there is now. */
export function wantsStream(c: Context): boolean {
  return c.req.query('follow') === 'true' || (c.req.header('accept') ?? '').includes('text/event-stream');
}

/** Uploads, downloads and the registration of a model take as long as the bytes and the model need. */
const UNTIMED = /\/blobs(\/|$)|\/versions$|\/content$|\/files\//;

/** Where every body is bytes. */
const BLOBS = /\/blobs(\/|$)/;

/** Answers `timeout` when a call takes longer than an API call may; streams, uploads and downloads aside. */
export function apiTimeout(timeoutMs: number): MiddlewareHandler<GatewayEnv> {
  return async (c, next) => {
    if (wantsStream(c) || (UNTIMED.test(c.req.path) && c.req.method !== 'GET')) return next();
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => reject(new AppError('timeout', `the call took longer than ${timeoutMs} ms`)), timeoutMs);
    });
    try {
      await Promise.race([next(), late]);
    } finally {
      clearTimeout(timer);
    }
  };
}

/** Reads a JSON body once, within the bound, so that what follows finds it parsed; says where it is malformed. */
export function jsonBody(maxBytes: number): MiddlewareHandler<GatewayEnv> {
  return async (c, next) => {
    const isJson = /^application\/([\w.-]+\+)?json\b/i.test(c.req.header('content-type') ?? '');
    // a blob is bytes, whatever they are said to be
    if (isJson && !BLOBS.test(c.req.path)) {
      const text = await readText(c, maxBytes);
      try {
        JSON.parse(text);
      } catch (error) {
        throw new AppError('invalid', malformed(text, messageOf(error)));
      }
      // hono keeps promises here, which its type does not say
      Object.assign(c.req.bodyCache, { text: Promise.resolve(text) });
    }
    await next();
  };
}

async function readText(c: Context<GatewayEnv>, maxBytes: number): Promise<string> {
  const declared = Number(c.req.header('content-length') ?? 0);
  if (declared > maxBytes) throw tooLarge(declared, maxBytes);
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of c.req.raw.body ?? []) {
    bytes += chunk.byteLength;
    if (bytes > maxBytes) throw tooLarge(bytes, maxBytes);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function tooLarge(bytes: number, maxBytes: number): AppError {
  return new AppError('too_large', `the body has ${bytes} bytes or more; at most ${maxBytes} are taken`, {
    details: { bytes, maxBytes },
  });
}

/** The engine names a position for some mistakes only; a line and column are what people look for. */
function malformed(text: string, message: string): string {
  if (text.trim() === '') return 'the body is empty; JSON was expected';
  const position = /position (\d+)/.exec(message)?.[1];
  const at = position === undefined ? text.length : Number(position);
  const before = text.slice(0, at).split('\n');
  const where = `line ${before.length}, column ${(before.at(-1) ?? '').length + 1}`;
  if (position === undefined && !/end of JSON/i.test(message)) return `the body is not JSON: ${message}`;
  return `the body is not JSON: ${message.replace(/ in JSON at position.*$/, '')} at ${where}`;
}
