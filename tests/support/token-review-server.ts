/**
 * The part of an API server that reviews tokens, as a peer on the wire: it issues tokens bound to pods, as the kubelet
 * asks for them, and answers TokenReview as kube-apiserver does.
 */
import { createHmac, randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { systemClock } from '../../src/clock.js';
import { KubernetesApi } from '../../src/platform/kubernetes/api.js';
import { ReviewedTokens } from '../../src/platform/kubernetes/token-review.js';
import { quietLog } from './quiet-log.js';

export interface TokenOf {
  readonly namespace?: string;
  readonly serviceAccount: string;
  /** Undefined: bound to no pod. */
  readonly pod?: string | undefined;
  readonly audience?: string;
  /** From now. */
  readonly seconds?: number;
}

export interface TokenReviewServer {
  readonly url: string;
  /** Tokens that it was asked about. */
  readonly reviews: string[];
  /** Answers every question with this status instead. */
  failWith: number | undefined;
  /** Reviews tokens as an API server that knows nothing of audiences. */
  audienceUnaware: boolean;
  issue(of: TokenOf): string;
  /** As the gateway uses it. */
  identity(clock?: typeof systemClock): ReviewedTokens;
  close(): Promise<void>;
}

const NAMESPACE = 'serving';
const SECRET = randomUUID();

export async function startTokenReviewServer(): Promise<TokenReviewServer> {
  const apis: KubernetesApi[] = [];
  const http = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const answer = (status: number, body: object) =>
        response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
      if (server.failWith !== undefined) return answer(server.failWith, { kind: 'Status', message: 'not now' });
      if (request.headers.authorization !== 'Bearer gateway') return answer(401, { message: 'Unauthorized' });
      const path = request.url?.split('?')[0];
      if (request.method !== 'POST' || path !== '/apis/authentication.k8s.io/v1/tokenreviews')
        return answer(404, { message: `nothing at ${path}` });
      const review = JSON.parse(Buffer.concat(chunks).toString()) as Review;
      server.reviews.push(review.spec.token);
      answer(201, { ...review, status: verdict(review, server.audienceUnaware) });
    });
  });
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
  const server: TokenReviewServer = {
    url: `http://127.0.0.1:${(http.address() as AddressInfo).port}`,
    reviews: [],
    failWith: undefined,
    audienceUnaware: false,
    issue: ({ namespace = NAMESPACE, serviceAccount, pod, audience = 'sluice', seconds = 600 }) =>
      signed({
        aud: [audience],
        exp: Math.floor(Date.now() / 1000) + seconds,
        sub: `system:serviceaccount:${namespace}:${serviceAccount}`,
        jti: randomUUID(),
        ...(pod === undefined ? {} : { pod: { name: pod, uid: randomUUID() } }),
      }),
    identity(clock = systemClock) {
      const access = { server: server.url, tls: {}, namespace: NAMESPACE, token: async () => 'gateway' };
      const api = new KubernetesApi(access);
      apis.push(api);
      return new ReviewedTokens({ api, clock, log: quietLog });
    },
    async close() {
      await Promise.all(apis.map((api) => api.close()));
      http.closeAllConnections();
      await new Promise((resolve) => http.close(resolve));
    },
  };
  return server;
}

interface Review {
  readonly spec: { readonly token: string; readonly audiences: readonly string[] };
}

interface Claims {
  readonly aud: readonly string[];
  readonly exp: number;
  readonly sub: string;
  readonly jti: string;
  readonly pod?: { readonly name: string; readonly uid: string };
}

function verdict({ spec }: Review, audienceUnaware: boolean): object {
  const claims = readSigned(spec.token);
  const refused = (why: string) => ({ user: {}, error: `[invalid bearer token, ${why}]` });
  if (!claims) return refused('square/go-jose: error in cryptographic primitive');
  if (claims.exp * 1000 < Date.now()) return refused('service account token has expired');
  const audiences = spec.audiences.filter((audience) => claims.aud.includes(audience));
  if (audiences.length === 0 && !audienceUnaware) {
    const lists = `${JSON.stringify(claims.aud)} is invalid for the target audiences ${JSON.stringify(spec.audiences)}`;
    return refused(`token audiences ${lists}`);
  }
  const extra = {
    'authentication.kubernetes.io/pod-name': [claims.pod?.name],
    'authentication.kubernetes.io/pod-uid': [claims.pod?.uid],
  };
  const user = { username: claims.sub, uid: randomUUID(), ...(claims.pod ? { extra } : {}) };
  return { authenticated: true, user, ...(audienceUnaware ? {} : { audiences }) };
}

function signed(claims: Claims): string {
  const content = [{ alg: 'HS256' }, claims]
    .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
    .join('.');
  return `${content}.${createHmac('sha256', SECRET).update(content).digest('base64url')}`;
}

function readSigned(token: string): Claims | undefined {
  const [head = '', content = '', signature] = token.split('.');
  const expected = createHmac('sha256', SECRET).update(`${head}.${content}`).digest('base64url');
  if (signature !== expected) return undefined;
  return JSON.parse(Buffer.from(content, 'base64url').toString()) as Claims;
}
