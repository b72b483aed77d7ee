/** A prediction over HTTP, from its routing to the last byte of its answer. */
import type { BodyStream, Exchange, ReplyHandler, ReplyHead } from '../../core/inference/forward.js';
import { predict } from '../../core/inference/predict.js';
import { AppError, type ErrorCode, messageOf, WIRE } from '../../errors.js';
import { type AnswerBody, answerBody } from '../http/answer-body.js';
import { collect, limited, timed, tooLarge, unpacked } from '../http/body.js';
import { answerCoding, decodeBody, encodeBody, requestCoding } from '../http/content-coding.js';
import type { HttpExchange } from '../http/exchange.js';
import { MAX_HELD_BYTES } from '../http/front.js';
import { traceParent } from '../trace.js';
import { answerError } from './answers.js';
import { takenAsync } from './async.js';
import type { RevisionMeter } from './meters.js';
import type { ModelPath } from './paths.js';
import { type Destination, type Plane, route } from './plane.js';

/** Takes a prediction over; the exchange is answered, whatever happens. */
export function predictOverHttp(plane: Plane, exchange: HttpExchange, path: ModelPath, id: string): void {
  if (takenAsync(plane.services, exchange, path.name, id)) return;
  const wish = {
    authorization: exchange.header('authorization'),
    apiKey: exchange.header('x-api-key'),
    endpoint: path.name,
    pin: path.version ?? exchange.header('sluice-revision'),
    tag: exchange.header('sluice-tag'),
    header: (name: string) => exchange.header(name),
  };
  route(
    plane,
    wish,
    (destination) => new HttpPrediction(plane, exchange, destination, id).begin(),
    (error) => void answerError(plane.services, exchange, error, id),
  );
}

const NO_BODY = Buffer.alloc(0);

class HttpPrediction implements ReplyHandler {
  private readonly meter: RevisionMeter;
  private began = 0;
  private prediction: Exchange | undefined;
  /** Of an answer that comes piece by piece. */
  private answer: AnswerBody | undefined;
  /** Whether the client or the answer is gone already. */
  private over = false;

  constructor(
    private readonly plane: Plane,
    private readonly exchange: HttpExchange,
    private readonly destination: Destination,
    private readonly id: string,
  ) {
    this.meter = plane.meterOf(destination.revision);
  }

  begin(): void {
    const { exchange } = this;
    exchange.onGone = () => {
      this.over = true;
      this.prediction?.cancel();
    };
    try {
      const encoding = exchange.header('content-encoding');
      if (exchange.body !== undefined && encoding === undefined) this.send(exchange.body);
      else this.beginUnread(requestCoding(encoding));
    } catch (error) {
      this.fail(error);
    }
  }

  /** A body that is not there yet, or is packed: held whole where it is small, passed on as it comes where it is not. */
  private beginUnread(coding: string | undefined): void {
    const { exchange } = this;
    const { bodyBytes: maxBytes, predictTimeoutMs } = this.plane.services.limits;
    const { bodyBytes } = exchange;
    if (bodyBytes !== undefined && bodyBytes > maxBytes) throw tooLarge(bodyBytes, maxBytes);
    if (bodyBytes === undefined || bodyBytes > MAX_HELD_BYTES) {
      const body = timed(exchange.readBody(), predictTimeoutMs);
      this.send(NO_BODY, limited(coding === undefined ? body : unpacked(body, coding), maxBytes));
      return;
    }
    const held = async () => {
      const sent = exchange.body ?? (await collect(timed(limited(exchange.readBody(), maxBytes), predictTimeoutMs)));
      this.send(coding === undefined ? sent : await decodeBody(sent, coding, maxBytes));
    };
    held().catch(this.fail);
  }

  onReply(head: ReplyHead, body: Buffer): void {
    this.meter.record(performance.now() - this.began, head.status);
    const headers: Record<string, string | number> = { ...head.headers };
    headers['sluice-revision'] = this.meter.revision;
    headers['sluice-model-version'] = this.meter.version;
    headers['x-request-id'] = this.id;
    // what a replica still works on is for the client to see as it comes
    const coding =
      head.more && !head.worked ? undefined : answerCoding(this.exchange.header('accept-encoding'), sizeOf(head, body));
    if (coding !== undefined) {
      headers['content-encoding'] = coding;
      headers.vary = 'accept-encoding';
      delete headers['content-length'];
    }
    if (head.more) {
      this.exchange.begin(head.status, headers);
      this.answer = answerBody(this.exchange, coding);
      this.answer.onDrain = () => this.prediction?.resume();
      this.onData(body);
    } else if (coding === undefined) this.exchange.reply(head.status, headers, body);
    else encodeBody(body, coding).then((packed) => this.exchange.reply(head.status, headers, packed), this.fail);
  }

  onData(chunk: Buffer): void {
    if (this.answer?.send(chunk) === false) this.prediction?.pause();
  }

  onEnd(): void {
    this.answer?.finish();
  }

  onError(error: AppError): void {
    if (!this.answer) {
      if (!CLIENTS_OWN.has(error.code)) this.meter.record(performance.now() - this.began, WIRE[error.code].http);
      this.fail(error);
      return;
    }
    const { log } = this.plane.services;
    log.warn('an answer broke off', { requestId: this.id, error: messageOf(error) });
    this.exchange.abort();
  }

  private send(body: Buffer, rest?: BodyStream): void {
    if (this.over) return;
    const { services } = this.plane;
    const { exchange } = this;
    // a client's slow line is no fault of the revision
    this.began = performance.now();
    const call = {
      method: 'POST',
      path: `/v2/models/${encodeURIComponent(this.destination.endpoint.name)}/infer`,
      headers: forwarded(exchange),
      body,
      rest: rest && this.clocked(rest),
      trace: traceParent(exchange.header('traceparent')),
    };
    const options = {
      timeoutMs: this.timeoutMs(),
      idempotent: exchange.header('sluice-idempotent') !== 'false',
    };
    const prediction = predict(services.fleet, { revision: this.destination.revision, call }, options, this);
    this.prediction = prediction;
  }

  /** A body that comes piece by piece begins to be answered when its last piece has come. */
  private clocked(rest: BodyStream): BodyStream {
    return {
      pause: () => rest.pause(),
      resume: () => rest.resume(),
      read: (sink) =>
        rest.read({
          ...sink,
          end: () => {
            this.began = performance.now();
            sink.end();
          },
        }),
    };
  }

  private timeoutMs(): number {
    const { predictTimeoutMs } = this.plane.services.limits;
    const asked = this.exchange.header('sluice-timeout-ms');
    return asked === undefined ? predictTimeoutMs : Math.min(predictTimeoutMs, readTimeout(asked));
  }

  private readonly fail = (error: unknown): void => {
    answerError(this.plane.services, this.exchange, error, this.id);
  };
}

/** Failures that say nothing of the revision. */
const CLIENTS_OWN: ReadonlySet<ErrorCode> = new Set(['cancelled', 'too_large', 'invalid']);

function readTimeout(text: string): number {
  const value = /^\d{1,9}$/.test(text) ? Number(text) : 0;
  if (value > 0) return value;
  throw new AppError(
    'invalid',
    `header sluice-timeout-ms is "${text.slice(0, 40)}", expected milliseconds, at least 1`,
  );
}

/** How long an answer is, as far as known; one in pieces is long. */
function sizeOf({ more }: ReplyHead, body: Buffer): number {
  return more ? Number.POSITIVE_INFINITY : body.length;
}

/** The headers that a model server needs to read the body. */
function forwarded(exchange: HttpExchange): Record<string, string> {
  const out: Record<string, string> = {};
  for (const name of ['content-type', 'inference-header-content-length']) {
    const value = exchange.header(name);
    if (value !== undefined) out[name] = value;
  }
  return out;
}
