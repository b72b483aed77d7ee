/** Posts to addresses that clients name, without letting them reach what only this machine can reach. */
import { lookup as lookUp } from 'node:dns';
import { type ClientRequest, request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { isIP, type LookupFunction } from 'node:net';
import type { AskAddress } from '../../core/rollouts/measure.js';
import { isPrivateAddress } from '../../core/webhooks/address.js';
import { type AskWebhook, LONGEST_ANSWER } from '../../core/webhooks/ask.js';
import type { PostWebhook } from '../../core/webhooks/send.js';
import { AppError } from '../../errors.js';

interface Options {
  readonly allowPrivate: boolean;
}

/** Makes the sender of webhooks. */
export function createPostWebhook(options: Options): PostWebhook {
  return async (request) => {
    const response = await send(options, { method: 'POST', ...request });
    // the status is all that is asked for; whatever else comes is not waited for
    response.destroy();
    return response.statusCode ?? 0;
  };
}

/** Makes the asker of webhooks that answer something. */
export function createAskWebhook(options: Options): AskWebhook {
  const ask = createAskAddress(options);
  return (request) => ask({ method: 'POST', ...request });
}

/** Makes what asks addresses and reads their answers. Follows no redirect. */
export function createAskAddress(options: Options): AskAddress {
  return async (request) => {
    const response = await send(options, request);
    const chunks: Buffer[] = [];
    let bytes = 0;
    for await (const chunk of response as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > LONGEST_ANSWER) throw new AppError('too_large', `its answer has more than ${LONGEST_ANSWER} bytes`);
      chunks.push(chunk);
    }
    return { status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString('utf8') };
  };
}

/**
 * The address that a name has is checked where the connection is made, and the connection is made to the checked address:
 * a name that answers differently a moment later gains nothing.
 */
function send(
  { allowPrivate }: Options,
  { method, url, headers, body, signal }: Parameters<AskAddress>[0],
): Promise<IncomingMessage> {
  const mayReach = (address: string) => allowPrivate || !isPrivateAddress(address);
  const target = new URL(url);
  const host = target.hostname.replace(/^\[|\]$/g, '');
  // a literal address is never looked up
  if (isIP(host) !== 0 && !mayReach(host)) return Promise.reject(refused(host, host));
  const request = target.protocol === 'https:' ? httpsRequest : httpRequest;
  return new Promise((resolve, reject) => {
    const asking: ClientRequest = request(target, {
      method,
      // one connection each: there is nothing to be gained by keeping one to a stranger
      agent: false,
      headers: body === undefined ? headers : { ...headers, 'content-length': Buffer.byteLength(body) },
      lookup: guardedLookup(mayReach),
      signal,
    });
    asking.on('error', reject);
    asking.on('response', resolve);
    asking.end(body);
  });
}

function guardedLookup(mayReach: (address: string) => boolean): LookupFunction {
  return (hostname, options, callback) => {
    lookUp(hostname, { ...options, all: true }, (error, addresses) => {
      if (error) return callback(error, []);
      const bad = addresses.find(({ address }) => !mayReach(address));
      if (bad) return callback(refused(hostname, bad.address), []);
      const [first] = addresses;
      if (options.all) callback(null, addresses);
      else callback(null, first?.address ?? '', first?.family);
    });
  };
}

function refused(host: string, address: string): AppError {
  const where = host === address ? host : `${host} (${address})`;
  return new AppError('forbidden', `${where} is a private address; webhooks go to public ones only`, {
    details: { host, address },
  });
}
