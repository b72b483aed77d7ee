/** Where webhooks may go: a client names the address, and must not reach through us what it cannot reach itself. */
import { BlockList, isIP } from 'node:net';
import { AppError } from '../../errors.js';

/** Special-purpose ranges (IANA registries of RFC 6890) that are not the public internet. */
const RANGES = [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/4',
  '240.0.0.0/4',
  // unspecified and loopback; then addresses that carry an IPv4 address inside: translated, tunnelled
  '::/96',
  '64:ff9b::/96',
  '64:ff9b:1::/48',
  '2001::/32',
  '2002::/16',
  '100::/64',
  '2001:db8::/32',
  'fc00::/7',
  'fe80::/10',
  'fec0::/10',
  'ff00::/8',
];

const special = new BlockList();
for (const range of RANGES) {
  const [address = '', bits] = range.split('/');
  special.addSubnet(address, Number(bits), address.includes(':') ? 'ipv6' : 'ipv4');
}

/** Whether an IP address is not one of the public internet. What is no address at all is not public either. */
export function isPrivateAddress(address: string): boolean {
  const family = isIP(address);
  // an IPv4 address mapped into IPv6 is checked as what it stands for
  return family === 0 || special.check(address, family === 6 ? 'ipv6' : 'ipv4');
}

const MAX_URL = 2048;

/** A webhook's URL as it may be kept; `invalid` says what is wrong with it. Names are looked up when it is sent. */
export function checkWebhookUrl(text: string, allowPrivate: boolean): string {
  const refuse = (why: string) =>
    new AppError('invalid', `the webhook's URL ${JSON.stringify(text.slice(0, 200))} ${why}`, {
      details: { field: 'sluice-webhook' },
    });
  if (text.length > MAX_URL) throw refuse(`has ${text.length} characters; at most ${MAX_URL} are taken`);
  if (!URL.canParse(text)) throw refuse('is none');
  const url = new URL(text);
  if (url.protocol !== 'http:' && url.protocol !== 'https:') throw refuse('is neither http nor https');
  if (url.username !== '' || url.password !== '') throw refuse('holds a password, which would be seen in logs');
  const host = url.hostname.replace(/^\[|\]$/g, '');
  if (!allowPrivate && (host === 'localhost' || (isIP(host) !== 0 && isPrivateAddress(host))))
    throw refuse('leads to a private address');
  return url.href;
}
