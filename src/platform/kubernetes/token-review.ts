/** Whose token it is, asked of the API server (TokenReview), and remembered for a short while. */
import { createHash } from 'node:crypto';
import type { Clock } from '../../clock.js';
import { TOKEN_AUDIENCE } from '../../core/cluster-names.js';
import type { PodIdentity, PodToken } from '../../core/pods/identity.js';
import { AppError, messageOf } from '../../errors.js';
import type { Log } from '../../log.js';
import type { KubernetesApi } from './api.js';
import type { KubeObject, ResourceKind } from './objects.js';

export interface TokenReviewOptions {
  readonly api: KubernetesApi;
  readonly clock: Clock;
  readonly log: Log;
}

interface TokenReview extends KubeObject {
  readonly status?: {
    readonly authenticated?: boolean;
    readonly error?: string;
    readonly audiences?: readonly string[];
    readonly user?: {
      readonly username?: string;
      readonly extra?: Readonly<Record<string, readonly string[]>>;
    };
  };
}

const TOKEN_REVIEWS: ResourceKind = {
  apiVersion: 'authentication.k8s.io/v1',
  kind: 'TokenReview',
  plural: 'tokenreviews',
  namespaced: false,
};

/** How long a pod that is gone may still be believed. */
const GOOD_MS = 60_000;
/** So that who asks again and again with a bad token does not have the API server asked each time. */
const BAD_MS = 5_000;
const REMEMBERED = 4096;
/** Questions to the API server at once; whoever comes beyond that is told to come again. */
const AT_ONCE = 64;
const RETRY_SEC = 2;

type Verdict = { readonly pod: PodToken } | { readonly refused: string };
interface Remembered {
  readonly verdict: Verdict;
  readonly untilMs: number;
}

export class ReviewedTokens implements PodIdentity {
  private readonly remembered = new Map<string, Remembered>();
  private readonly asking = new Map<string, Promise<Verdict>>();

  constructor(private readonly options: TokenReviewOptions) {}

  get namespace(): string {
    return this.options.api.namespace;
  }

  async verify(token: string): Promise<PodToken> {
    const verdict = await this.judge(token);
    if ('pod' in verdict) return verdict.pod;
    throw new AppError('unauthenticated', `this token is not good here: ${verdict.refused}`);
  }

  private async judge(token: string): Promise<Verdict> {
    const claims = readClaims(token);
    if (typeof claims === 'string') return { refused: claims };
    const now = this.options.clock.now();
    if (claims.expiresMs <= now) return { refused: `it expired at ${new Date(claims.expiresMs).toISOString()}` };
    const key = createHash('sha256').update(token).digest('base64');
    const known = this.remembered.get(key);
    if (known && known.untilMs > now) return known.verdict;
    const asked = this.asking.get(key);
    if (asked) return asked;
    if (this.asking.size >= AT_ONCE) {
      throw new AppError('overloaded', `${AT_ONCE} tokens are being reviewed already`, { retryAfterSec: RETRY_SEC });
    }
    const asking = this.review(token)
      .then((verdict) => {
        const keptMs = 'pod' in verdict ? GOOD_MS : BAD_MS;
        this.remember(key, { verdict, untilMs: Math.min(this.options.clock.now() + keptMs, claims.expiresMs) });
        return verdict;
      })
      .finally(() => this.asking.delete(key));
    this.asking.set(key, asking);
    return asking;
  }

  private async review(token: string): Promise<Verdict> {
    const body = { metadata: {}, spec: { token, audiences: [TOKEN_AUDIENCE] } };
    try {
      return verdictOf(await this.options.api.create<TokenReview>(TOKEN_REVIEWS, body));
    } catch (error) {
      this.options.log.warn('a token could not be reviewed', { error: messageOf(error) });
      throw new AppError('not_ready', 'whose token this is cannot be asked of the cluster now', {
        retryAfterSec: RETRY_SEC,
        cause: error,
      });
    }
  }

  private remember(key: string, entry: Remembered): void {
    const { remembered } = this;
    remembered.delete(key);
    // what was remembered first goes first: nothing stays for longer than a minute anyway
    for (const oldest of remembered.keys()) {
      if (remembered.size < REMEMBERED) break;
      remembered.delete(oldest);
    }
    remembered.set(key, entry);
  }
}

/** What the token says of itself, which the API server is asked about; or why it is not worth asking. */
function readClaims(token: string): { readonly expiresMs: number } | string {
  let claims: { readonly aud?: unknown; readonly exp?: unknown };
  try {
    claims = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8'));
  } catch {
    return "it is no service account's token";
  }
  const { aud, exp } = claims ?? {};
  const audiences = [aud].flat();
  if (!audiences.includes(TOKEN_AUDIENCE))
    return `its audience is ${JSON.stringify(aud)?.slice(0, 200)}, not "${TOKEN_AUDIENCE}"`;
  return typeof exp === 'number' ? { expiresMs: exp * 1000 } : 'it never expires';
}

/** What the API server answered. One that knows of no audiences names none, and vouches for nothing here. */
function verdictOf({ status = {} }: TokenReview): Verdict {
  const { authenticated = false, error, audiences = [], user = {} } = status;
  if (!authenticated) return { refused: error || 'the cluster does not know it' };
  if (!audiences.includes(TOKEN_AUDIENCE)) return { refused: `it was not made out for "${TOKEN_AUDIENCE}"` };
  const [, namespace, serviceAccount] = /^system:serviceaccount:([^:]+):([^:]+)$/.exec(user.username ?? '') ?? [];
  if (namespace === undefined || serviceAccount === undefined) return { refused: "it is no service account's" };
  const [pod] = user.extra?.['authentication.kubernetes.io/pod-name'] ?? [];
  const [podUid] = user.extra?.['authentication.kubernetes.io/pod-uid'] ?? [];
  if (pod === undefined || podUid === undefined) return { refused: 'it is bound to no pod' };
  return { pod: { namespace, serviceAccount, pod, podUid } };
}
