/** Posts to addresses that clients name, without letting them reach what only this machine can reach. */
import { lookup as lookUp } from 'node:dns';
import { type ClientRequest, request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { isIP, type LookupFunction } from 'node:net';
import type { AskAddress } from '../../core/rollouts/measure.js';
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

/** Most of an answer that is read. */
const ANSWER_BYTES = 2 ** 16;

/** Makes what asks addresses and reads their answers, guarded in the same way. Follows no redirect. */
export function createAskAddress(options: { readonly allowPrivate: boolean }): AskAddress {
  const mayReach = (address: string) => options.allowPrivate || !isPrivateAddress(address);
  return ({ method, url, headers, body, signal }) => {
    const target = new URL(url);
    const host = target.hostname.replace(/^\[|\]$/g, '');
    if (isIP(host) !== 0 && !mayReach(host)) return Promise.reject(refused(host, host));
    const send = target.protocol === 'https:' ? httpsRequest : httpRequest;
    return new Promise((resolve, reject) => {
      const length = body === undefined ? {} : { 'content-length': Buffer.byteLength(body) };
      const request: ClientRequest = send(target, {
        method,
        agent: false,
        headers: { ...headers, ...length },
        lookup: guardedLookup(mayReach),
        signal,
      });
      request.on('error', reject);
      request.on('response', (response) => {
        const chunks: Buffer[] = [];
        let bytes = 0;
        response.on('error', reject);
        response.on('data', (chunk: Buffer) => {
          bytes += chunk.length;
          chunks.push(chunk);
          if (bytes <= ANSWER_BYTES) return;
          reject(new AppError('upstream_failed', `the answer is longer than ${ANSWER_BYTES} bytes`));
          response.destroy();
        });
        response.on('end', () => {
          resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString('utf8') });
        });
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
