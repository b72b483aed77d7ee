/** One attempt of an asynchronous prediction: the request is made again, at a gateway, and its answer kept. */
import { AppError, asAppError, ERROR_CODE_HEADER, messageOf } from '../../errors.js';
import { backoffMs } from '../backoff.js';
import { storeBlob } from '../blob-references.js';
import type { Blobs, Digest } from '../blobs.js';
import type { AskGateway, GatewayReply } from '../gateways/ask.js';
import { discard, RETRIED, retryAfterMs } from '../gateways/replies.js';
import type { Db } from '../schema.js';
import type { PredictionEnd, PredictionRow } from './ends.js';

export interface RunDeps {
  readonly db: Db;
  readonly blobs: Blobs;
  readonly ask: AskGateway;
}

/** What became of an attempt: the prediction's end, or another attempt after a while. */
export type RunResult = PredictionEnd | { readonly kind: 'again'; readonly inMs: number; readonly reason: string };

const BACKOFF = { backoffMs: 500, maxBackoffMs: 60_000 };

/** After these the request was certainly not worked on: they are worth another try also where it must not run twice. */
const NOT_WORKED_ON: ReadonlySet<number> = new Set([429, 503]);

/** Headers of an answer that are kept with it; the others are of the way that it came. */
const KEPT = [
  'content-type',
  'inference-header-content-length',
  'sluice-revision',
  'sluice-model-version',
  'sluice-feedback',
  ERROR_CODE_HEADER,
];

/** Makes the attempt. Rejects only with the signal's reason. */
export async function runPrediction(deps: RunDeps, row: PredictionRow, signal: AbortSignal): Promise<RunResult> {
  const { blobs, ask } = deps;
  const { path, headers, idempotent } = row.request;
  const again = (reason: string, atLeastMs = 0): RunResult => {
    const inMs = Math.max(atLeastMs, backoffMs(BACKOFF, row.attempt, Math.random()));
    return { kind: 'again', inMs, reason };
  };
  try {
    signal.throwIfAborted();
    if (!(await isThere(blobs, row.body_digest)))
      return unanswered('not_found', 'its body is gone from the blob store');
    const reply = await ask({
      project: row.project,
      method: 'POST',
      path,
      headers: { ...headers, 'x-request-id': row.id, ...(row.trace === null ? {} : { traceparent: row.trace }) },
      body: { bytes: row.body_bytes, open: () => blobs.open(row.body_digest) },
      fresh: !idempotent,
      signal,
    });
    if (RETRIED.has(reply.status) && (idempotent || NOT_WORKED_ON.has(reply.status))) {
      discard(reply);
      return again(`answered ${reply.status}`, retryAfterMs(reply));
    }
    return { kind: 'answered', status: reply.status, headers: keptHeaders(reply), result: await kept(deps, reply) };
  } catch (error) {
    signal.throwIfAborted();
    const failure = asAppError(error);
    if (idempotent || failure.code === 'not_ready') return again(failure.message);
    return unanswered('upstream_failed', `lost, and not to be run twice: ${failure.message}`);
  }
}

/** Whether a body is stored; `not_ready` when the store does not say. */
async function isThere(blobs: Blobs, digest: Digest): Promise<boolean> {
  try {
    return (await blobs.stat(digest)) !== undefined;
  } catch (error) {
    throw new AppError('not_ready', `the blob store is away: ${messageOf(error)}`, { cause: error });
  }
}

function unanswered(code: 'not_found' | 'upstream_failed', reason: string): PredictionEnd {
  return { kind: 'unanswered', state: 'failed', code, reason };
}

/** Stores an answer's body. A connection that breaks meanwhile is not the store's failure. */
async function kept({ db, blobs }: RunDeps, { body }: GatewayReply) {
  try {
    return await storeBlob(db, blobs, body);
  } catch (error) {
    body.destroy();
    throw error instanceof AppError
      ? new AppError('upstream_failed', `the answer could not be stored: ${error.message}`, { cause: error })
      : new AppError('upstream_failed', `the answer broke off: ${messageOf(error)}`, { cause: error });
  }
}

function keptHeaders({ headers }: GatewayReply): Record<string, string> {
  return Object.fromEntries(
    KEPT.flatMap((name) => {
      const value = headers[name];
      return value === undefined ? [] : [[name, value]];
    }),
  );
}
