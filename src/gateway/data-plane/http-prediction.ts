/** A prediction over HTTP, from its routing to the last byte of its answer. */
import type { BodyStream, Exchange, ReplyHandler, ReplyHead } from '../../core/inference/forward.js';
import { predict } from '../../core/inference/predict.js';
import { modelNameOf } from '../../core/inference/route.js';
import { logged } from '../../core/payload-log/logged.js';
import { AppError, type ErrorCode, messageOf, WIRE } from '../../errors.js';
import { type AnswerBody, answerBody } from '../http/answer-body.js';
import { collect, limited, timed, tooLarge, unpacked } from '../http/body.js';
import { answerCoding, type Coding, decodeBody, encodeBody, requestCoding } from '../http/content-coding.js';
import type { ExchangeOwner, HeaderFields, HttpExchange } from '../http/exchange.js';
import { MAX_HELD_BYTES } from '../http/front.js';
import { traceParent } from '../trace.js';
import { answerError } from './answers.js';
import { forwardedHeaders } from './forwarded-headers.js';
import type { RevisionMeter } from './meters.js';
import { type Destination, type Named, type Plane, route } from './plane.js';

/** Takes a prediction over; the exchange is answered, whatever happens. */
export function predictOverHttp(plane: Plane, exchange: HttpExchange, named: Named, id: string): void {
  const prediction = new HttpPrediction(plane, exchange, id);
  try {
    const destination = route(plane, exchange, named);
    if ('revision' in destination) prediction.begin(destination);
    else destination.then((found) => prediction.begin(found)).catch((error) => prediction.fail(error));
  } catch (error) {
    prediction.fail(error);
  }
}

const NO_BODY = Buffer.alloc(0);

/** One object for all roles that a prediction plays, because there is one for every request. */
class HttpPrediction implements ReplyHandler, ExchangeOwner {
  private destination: Destination | undefined;
  private meter: RevisionMeter | undefined;
  private began = 0;
  private prediction: Exchange | undefined;
  /** Of an answer that comes piece by piece. */
  private answer: AnswerBody | undefined;
  private clientGone = false;

  constructor(
    private readonly plane: Plane,
    private readonly exchange: HttpExchange,
    private readonly id: string,
  ) {}

  /** Sends the request where it goes. What is wrong with it is thrown, or answered. */
  begin(destination: Destination): void {
    const { exchange } = this;
    this.destination = destination;
    this.meter = this.plane.meterOf(destination.revision);
    exchange.owner = this;
    const encoding = exchange.header('content-encoding');
    if (exchange.body !== undefined && encoding === undefined) this.send(exchange.body);
    else this.beginUnread(requestCoding(encoding));
  }

  fail(error: unknown): void {
    answerError(this.plane.services, this.exchange, error, this.id);
  }

  gone(): void {
    this.clientGone = true;
    this.prediction?.cancel();
  }

  drained(): void {
    this.answer?.drained();
  }

  onReply(head: ReplyHead, body: Buffer): void {
    const { status, more } = head;
    const { exchange, meter } = this;
    meter?.record(performance.now() - this.began, status);
    const headers = meter?.headersOf(head.headers) ?? head.headers;
    // what a replica still works on is for the client to see as it comes
    const packable = !more || head.worked;
    const coding = packable ? answerCoding(exchange.header('accept-encoding'), more ? LONG : body.length) : undefined;
    if (!more && coding === undefined) {
      exchange.reply({ status, headers, requestId: this.id }, body);
      return;
    }
    const answerHead = { status, headers: coding ? packedHeaders(headers, coding) : headers, requestId: this.id };
    if (more) {
      exchange.begin(answerHead);
      this.answer = answerBody(exchange, coding, () => this.prediction?.resume());
      this.onData(body);
    } else if (coding !== undefined) {
      encodeBody(body, coding)
        .then((packed) => exchange.reply(answerHead, packed))
        .catch((error) => this.fail(error));
    }
  }

  onData(chunk: Buffer): void {
    if (this.answer?.send(chunk) === false) this.prediction?.pause();
  }

  onEnd(): void {
    this.answer?.finish();
  }

  onError(error: AppError): void {
    if (!this.answer) {
      if (!CLIENTS_OWN.has(error.code)) this.meter?.record(performance.now() - this.began, WIRE[error.code].http);
      this.fail(error);
      return;
    }
    this.plane.services.log.warn('an answer broke off', { requestId: this.id, error: messageOf(error) });
    this.exchange.abort();
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
    held().catch((error) => this.fail(error));
  }

  private send(body: Buffer, rest?: BodyStream): void {
    const { destination, exchange } = this;
    if (this.clientGone || !destination) return;
    const { endpoint, revision } = destination;
    // a client's slow line is no fault of the revision
    this.began = performance.now();
    const call = {
      method: 'POST',
      path: `/v2/models/${encodeURIComponent(modelNameOf(revision))}/infer`,
      headers: forwardedHeaders(exchange),
      body,
      rest: rest && this.clocked(rest),
      trace: traceParent(exchange.header('traceparent')),
    };
    const options = {
      timeoutMs: this.timeoutMs(),
      idempotent: exchange.header('sluice-idempotent') !== 'false',
    };
    const { fleet, payloadLog, clock } = this.plane.services;
    if (endpoint.payloadLog === undefined) this.prediction = predict(fleet, { revision, call }, options, this);
    else {
      const { trace: traceParent } = call;
      const [streamed, arrivedMs] = [rest !== undefined, clock.now()];
      const request = { id: this.id, endpoint, revision, source: exchange, traceParent, arrivedMs, body, streamed };
      const start = (handler: ReplyHandler) => predict(fleet, { revision, call }, options, handler);
      this.prediction = logged(payloadLog, request, this, start);
    }
  }

  /** A body that comes piece by piece begins to be answered when its last piece has come. */
  private clocked(rest: BodyStream): BodyStream {
    return {
      pause: () => rest.pause(),
      resume: () => rest.resume(),
      read: (sink) =>
        rest.read({
          chunk: (bytes) => sink.chunk(bytes),
          failed: (error) => sink.failed(error),
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
}

/** The length of an answer that comes in pieces, as far as packing it goes. */
const LONG = Number.POSITIVE_INFINITY;

/** Failures that say nothing of the revision. */
const CLIENTS_OWN: ReadonlySet<ErrorCode> = new Set(['cancelled', 'too_large', 'invalid']);

function packedHeaders(headers: HeaderFields, coding: Coding): HeaderFields {
  const { 'content-length': _, ...rest } = headers;
  return { ...rest, 'content-encoding': coding, vary: 'accept-encoding' };
}

function readTimeout(text: string): number {
  const value = /^\d{1,9}$/.test(text) ? Number(text) : 0;
  if (value > 0) return value;
  throw new AppError(
    'invalid',
    `header sluice-timeout-ms is "${text.slice(0, 40)}", expected milliseconds, at least 1`,
  );
}
