/**
 * Asynchronous predictions: a request with `Prefer: respond-async` (RFC 7240) is stored and answered 202 with the address
 * of its answer; a worker makes it again. Whatever path it came by, it is kept as it came.
 */
import { Readable } from 'node:stream';
import type { Caller } from '../../core/access/key.js';
import { storeBlob } from '../../core/blob-references.js';
import type { EndpointRoute } from '../../core/inference/route.js';
import { attemptQueueId } from '../../core/jobs.js';
import { type StoredRequest, summaryOf } from '../../core/predictions/spec.js';
import { checkBacklog, submitPrediction } from '../../core/predictions/store.js';
import { checkWebhookUrl } from '../../core/webhooks/address.js';
import { AppError, asAppError } from '../../errors.js';
import { databaseError } from '../database-errors.js';
import { enqueueOrLog } from '../enqueue.js';
import { limited, streamOf, timed, tooLarge, unpacked } from '../http/body.js';
import { requestCoding } from '../http/content-coding.js';
import { type HttpExchange, nothing } from '../http/exchange.js';
import { wholeBody } from '../http/whole-body.js';
import type { Services } from '../services.js';
import { traceParent } from '../trace.js';
import { callerOf, endpointFor, lookAgain } from './access.js';
import { answerError } from './answers.js';

/**
 * Takes a request for an endpoint over that asks for an answer later, and answers it with 202 or with what is wrong. False
 * for one that waits for its answer. `id`: of the request.
 */
export function takenAsync(services: Services, exchange: HttpExchange, endpoint: string, id: string): boolean {
  const prefer = exchange.header('prefer');
  if (prefer === undefined || !wantsAsync(prefer)) return false;
  acceptAsync(services, exchange, endpoint, id);
  return true;
}

/** Whether a `Prefer` header's value asks for an answer later. */
export function wantsAsync(prefer: string): boolean {
  return prefer.split(/[,;]/).some((preference) => preference.trim().toLowerCase() === 'respond-async');
}

function acceptAsync(services: Services, exchange: HttpExchange, endpoint: string, id: string): void {
  const gone = new AbortController();
  exchange.owner = { gone: () => gone.abort(new AppError('cancelled', 'the client went away')), drained: nothing };
  accept(services, exchange, endpoint, gone.signal).then(
    (accepted) => {
      const summary = summaryOf(accepted);
      const headers = {
        'content-type': 'application/json',
        location: summary.location,
        'preference-applied': 'respond-async',
        'retry-after': '1',
      };
      exchange.reply({ status: 202, headers, requestId: id }, Buffer.from(JSON.stringify(summary)));
    },
    (error: unknown) => {
      const failure = databaseError(error) ?? asAppError(error);
      services.metrics.refused.inc({ code: failure.code });
      answerError(services, exchange, failure, { requestId: id });
    },
  );
}

async function accept(services: Services, exchange: HttpExchange, name: string, gone: AbortSignal) {
  const { db, blobs, asynchronous } = services;
  const authorization = exchange.header('authorization');
  const caller: Caller = callerOf(services, { authorization, apiKey: exchange.header('x-api-key') });
  const endpoint = endpointFor(services, caller, name) ?? (await lookAgain(services, caller, name));
  const webhook = exchange.header('sluice-webhook');
  // what can be refused is refused before the body is read
  const url = webhook === undefined ? undefined : checkWebhookUrl(webhook, asynchronous.webhooksToPrivate);
  const requestKey = readKey(exchange.header('idempotency-key'));
  const request = storedRequest(exchange, endpoint);
  await checkBacklog(db, caller.project, asynchronous.queueLimit);
  const accepted = await submitPrediction(db, {
    project: caller.project,
    endpointId: endpoint.id,
    endpoint: endpoint.name,
    request,
    body: await storeBlob(db, blobs, await bodyOf(services, exchange), { signal: gone }),
    requestKey,
    webhook: url,
    trace: traceParent(exchange.header('traceparent')),
    deadlineMs: asynchronous.deadlineMs,
  });
  // also when it was there before: the first one may have died before it got here
  if (accepted.state === 'queued')
    await enqueueOrLog(
      services,
      'prediction.run',
      { predictionId: accepted.id },
      attemptQueueId(accepted.id, accepted.attempt),
    );
  return accepted;
}

/** The body's plain bytes, bounded in size and in time. */
async function bodyOf({ limits }: Services, exchange: HttpExchange): Promise<Readable> {
  const { bodyBytes: maxBytes, predictTimeoutMs } = limits;
  const { body, bodyBytes } = exchange;
  if (body !== undefined) return Readable.from([await wholeBody(exchange, { maxBytes, timeoutMs: predictTimeoutMs })]);
  const coding = requestCoding(exchange.header('content-encoding'));
  if (bodyBytes !== undefined && bodyBytes > maxBytes) throw tooLarge(bodyBytes, maxBytes);
  const coming = timed(exchange.readBody(), predictTimeoutMs);
  return streamOf(limited(coding === undefined ? coming : unpacked(coming, coding), maxBytes));
}

/** Headers that go along when the request is made again. */
const KEPT = [
  'content-type',
  'inference-header-content-length',
  'accept',
  'cache-control',
  'sluice-tag',
  'knative-serving-tag',
  'sluice-revision',
  'sluice-timeout-ms',
  'sluice-idempotent',
];

/** Headers that are a secret, and are not kept whatever they are used for. */
const SECRETS = new Set(['authorization', 'x-api-key', 'cookie']);

function storedRequest(exchange: HttpExchange, { choiceHeaders }: EndpointRoute): StoredRequest {
  const names = choiceHeaders === undefined ? KEPT : [...KEPT, ...choiceHeaders];
  const headers: Record<string, string> = {};
  for (const name of names) {
    if (SECRETS.has(name)) continue;
    const value = exchange.header(name);
    if (value !== undefined) headers[name] = value;
  }
  return { path: exchange.url, headers, idempotent: headers['sluice-idempotent'] !== 'false' };
}

const MAX_KEY = 200;

function readKey(key: string | undefined): string | undefined {
  if (key === undefined || (key.length > 0 && key.length <= MAX_KEY)) return key;
  throw new AppError('invalid', `header idempotency-key has ${key.length} characters, expected 1 to ${MAX_KEY}`);
}
