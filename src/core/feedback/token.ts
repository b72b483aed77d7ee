/**
 * A token that goes out with an answer and comes back with what came of it. It says itself which revision answered, and when,
 * and is signed with the endpoint's secret: no gateway stores anything, any of them can read it, and nobody can credit
 * another revision.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';

export interface FeedbackToken {
  readonly revision: number;
  /** When the answer went out, in seconds since the epoch. */
  readonly second: number;
  readonly requestId: string;
}

/** The token's text: `1.REVISION.SECOND.REQUEST.MAC`, numbers in base 36, the others in base 64 for URLs. */
export function writeToken(secret: string, endpointId: string, token: FeedbackToken): string {
  const said = `1.${token.revision.toString(36)}.${token.second.toString(36)}.${Buffer.from(token.requestId).toString('base64url')}`;
  return `${said}.${macOf(secret, endpointId, said)}`;
}

/** What a token says; undefined for one that this endpoint never gave out. */
export function readToken(secret: string, endpointId: string, text: string): FeedbackToken | undefined {
  const end = text.lastIndexOf('.');
  const said = text.slice(0, Math.max(0, end));
  const [version, revision = '', second = '', requestId = '', ...more] = said.split('.');
  if (version !== '1' || more.length > 0) return undefined;
  const given = Buffer.from(text.slice(end + 1));
  const right = Buffer.from(macOf(secret, endpointId, said));
  if (given.length !== right.length || !timingSafeEqual(given, right)) return undefined;
  return {
    revision: Number.parseInt(revision, 36),
    second: Number.parseInt(second, 36),
    requestId: Buffer.from(requestId, 'base64url').toString(),
  };
}

/** 144 bits of HMAC-SHA256: far beyond guessing, and short in a header. */
function macOf(secret: string, endpointId: string, said: string): string {
  return createHmac('sha256', secret).update(`${endpointId}.${said}`).digest('base64url').slice(0, 24);
}
