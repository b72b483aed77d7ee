import { createHash, randomBytes } from 'node:crypto';

/** Who makes a request: what a key, or its absence, stands for. */
export interface Caller {
  readonly project: string;
  readonly role: 'admin' | 'predict' | 'anonymous';
  /** Of the key; absent without one. */
  readonly keyId?: string;
  /** For the record: the key's name. */
  readonly actor: string;
}

export const ANONYMOUS: Caller = { project: 'default', role: 'anonymous', actor: 'anonymous' };

/** A new secret key: `sk_` and 40 characters (240 bits of chance). Shown once; only its hash is kept. */
export function newKey(): string {
  return `sk_${randomBytes(30).toString('base64url')}`;
}

/** Keys are long and random, so a plain hash is enough: there is nothing to guess. */
export function hashKey(key: string): string {
  return createHash('sha256').update(key).digest('hex');
}

/** What a list shows of a key. */
export function keyHint(key: string): string {
  return `${key.slice(0, 7)}…`;
}
