/**
 * Signatures of the Standard Webhooks specification (v1, symmetric): the receiver proves with the project's secret that a
 * message came from here, whole and lately.
 */
import { createHmac, randomBytes } from 'node:crypto';

const PREFIX = 'whsec_';

/** A new secret: `whsec_` and 32 random bytes in base 64. */
export function newSecret(): string {
  return `${PREFIX}${randomBytes(32).toString('base64')}`;
}

export interface Message {
  /** The same on every try, so that a receiver can tell a repeat. */
  readonly id: string;
  /** Seconds since the epoch, of this try. */
  readonly timestampSec: number;
  readonly body: string;
}

/** The headers that a message is sent with. */
export function signedHeaders(secret: string, { id, timestampSec, body }: Message): Record<string, string> {
  const key = Buffer.from(secret.slice(PREFIX.length), 'base64');
  const mac = createHmac('sha256', key).update(`${id}.${timestampSec}.${body}`).digest('base64');
  return { 'webhook-id': id, 'webhook-timestamp': String(timestampSec), 'webhook-signature': `v1,${mac}` };
}
