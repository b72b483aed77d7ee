import { randomBytes } from 'node:crypto';

const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz';

/**
 * A new id: its kind, then 20 characters of which the first ten sort by time (milliseconds, Crockford base 32) and the
 * rest are random. Safe in URLs, file names and queue ids.
 */
export function newId(kind: string, now = Date.now()): string {
  let time = '';
  for (let value = now, i = 0; i < 10; i++, value = Math.floor(value / 32)) time = ALPHABET[value % 32] + time;
  const random = [...randomBytes(10)].map((byte) => ALPHABET[byte % 32]).join('');
  return `${kind}_${time}${random}`;
}
