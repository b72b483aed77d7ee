/** Posts to addresses that clients name, without letting them reach what only this machine can reach. */
import { lookup as lookUp } from 'node:dns';
import { type ClientRequest, request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { isIP, type LookupFunction } from 'node:net';
import { isPrivateAddress } from '../../core/webhooks/address.js';
import type { PostWebhook } from '../../core/webhooks/send.js';
import { AppError } from '../../errors.js';

/**
 * Makes the sender. The address that a name has is checked where the connection is made, and the connection is made to the
 * checked address: a name that answers differently a moment later gains nothing.
 */
export function createPostWebhook(options: { readonly allowPrivate: boolean }): PostWebhook {
  const mayReach = (address: string) => options.allowPrivate || !isPrivateAddress(address);
  return ({ url, headers, body, signal }) => {
    const target = new URL(url);
    const host = target.hostname.replace(/^\[|\]$/g, '');
    // a literal address is never looked up
    if (isIP(host) !== 0 && !mayReach(host)) return Promise.reject(refused(host, host));
    const send = target.protocol === 'https:' ? httpsRequest : httpRequest;
    return new Promise((resolve, reject) => {
      const request: ClientRequest = send(target, {
        method: 'POST',
        // one connection each: there is nothing to be gained by keeping one to a stranger
        agent: false,
        headers: { ...headers, 'content-length': Buffer.byteLength(body) },
        lookup: guardedLookup(mayReach),
        signal,
      });
      request.on('error', reject);
      request.on('response', (response) => {
        resolve(response.statusCode ?? 0);
        // the status is all that is asked for; whatever else comes is not waited for
        response.destroy();
      });
      request.end(body);
    });
  };
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
