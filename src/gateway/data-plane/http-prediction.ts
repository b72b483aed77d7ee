/** A prediction over HTTP, from its routing to the last byte of its answer. */
import type { BodyStream, Exchange, ReplyHandler, ReplyHead } from '../../core/inference/forward.js';
import type { RevisionRoute } from '../../core/inference/route.js';
import { AppError, messageOf, WIRE } from '../../errors.js';
import type { InferCodec } from '../../protocol/codecs/codec.js';
import { v1 } from '../../protocol/codecs/v1.js';
import { v2 } from '../../protocol/codecs/v2.js';
import { readTimeoutHeader, TIMEOUT_HEADER } from '../../protocol/timeout-header.js';
import { type AnswerBody, answerBody } from '../http/answer-body.js';
import { limited, timed, tooLarge, unpacked } from '../http/body.js';
import { answerCoding, type Coding, encodeBody, requestCoding } from '../http/content-coding.js';
import type { ExchangeOwner, HeaderFields, HttpExchange } from '../http/exchange.js';
import { MAX_HELD_BYTES } from '../http/front.js';
import { wholeBody } from '../http/whole-body.js';
import { traceParent } from '../trace.js';
import { answerError } from './answers.js';
import { takenAsync } from './async.js';
import { CLIENTS_OWN } from './client-failures.js';
import { elsewhere, standIn } from './fallback.js';
import { withToken } from './feedback-token.js';
import { forwardedHeaders } from './forwarded-headers.js';
import type { RevisionMeter } from './meters.js';
import type { Dialect, InferPath, Verb } from './paths.js';
import { type Destination, type Plane, route } from './plane.js';
import { refuseOtherProtocol } from './protocols.js';
import { startPrediction } from './start-prediction.js';

/** Takes a prediction over; the exchange is answered, whatever happens. */
export function predictOverHttp(plane: Plane, exchange: HttpExchange, path: InferPath, id: string): void {
  if (takenAsync(plane.services, exchange, path.name, id)) return;
  const prediction = new HttpPrediction(plane, exchange, { id, verb: path.verb, dialect: 'inference' });
  try {
    const destination = route(plane, exchange, path);
    if ('revision' in destination) prediction.begin(destination);
    else destination.then((found) => prediction.begin(found)).catch((error) => prediction.fail(error));
  } catch (error) {
    prediction.fail(error);
  }
}

const NO_BODY = Buffer.alloc(0);

/** What is asked, beside the body. */
interface Question {
  readonly id: string;
  /** A call of the protocol, or the path of one that is passed on as it is. */
  readonly verb: Verb | { readonly path: string };
  readonly dialect: Dialect;
}

/** One object for all roles that a prediction plays, because there is one for every request. */
export class HttpPrediction implements ReplyHandler, ExchangeOwner {
  private destination: Destination | undefined;
  private meter: RevisionMeter | undefined;
  private began = 0;
  private prediction: Exchange | undefined;
  /** Of an answer that comes piece by piece. */
  private answer: AnswerBody | undefined;
  private clientGone = false;
  /** Kept where another revision may be asked. */
  private body: Buffer | undefined;
  private deadline = 0;

  constructor(
    private readonly plane: Plane,
    private readonly exchange: HttpExchange,
    private readonly question: Question,
  ) {}

  /** Sends the request where it goes, with the exchange's body or another one. What is wrong is thrown, or answered. */
  begin(destination: Destination, body?: Buffer): void {
    const { exchange, question } = this;
    if (destination.revision.server) refuseOtherProtocol(destination.revision.server, question.verb);
    this.destination = destination;
    this.meter = this.plane.meterOf(destination.revision);
    exchange.owner = this;
    if (body) {
      this.send(body);
      return;
    }
    const encoding = exchange.header('content-encoding');
    if (exchange.body !== undefined && encoding === undefined) this.send(exchange.body);
    else this.beginUnread(requestCoding(encoding));
  }

  fail(error: unknown): void {
    const { id, dialect } = this.question;
    answerError(this.plane.services, this.exchange, error, { requestId: id, dialect });
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
    meter?.record(performance.now() - this.began, status, head.cached);
    const plain = meter?.headersOf(head.headers) ?? head.headers;
    const { destination, plane, question } = this;
    // an answer that a client may report on
    const headers =
      destination?.endpoint.feedback && status < 400 ? withToken(plane, destination, question.id, plain) : plain;
    // what a replica still works on is for the client to see as it comes
    const packable = !more || head.worked;
    const coding = packable ? answerCoding(exchange.header('accept-encoding'), more ? LONG : body.length) : undefined;
    if (!more && coding === undefined) {
      exchange.reply({ status, headers, requestId: this.question.id }, body);
      return;
    }
    const answerHead = {
      status,
      headers: coding ? packedHeaders(headers, coding) : headers,
      requestId: this.question.id,
    };
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
      if (this.destination?.fallback !== undefined && this.fallBack(this.destination, error)) return;
      if (!CLIENTS_OWN.has(error.code)) this.meter?.record(performance.now() - this.began, WIRE[error.code].http);
      this.fail(error);
      return;
    }
    this.plane.services.log.warn('an answer broke off', { requestId: this.question.id, error: messageOf(error) });
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
    wholeBody(exchange, { maxBytes, timeoutMs: predictTimeoutMs })
      .then((body) => this.send(body))
      .catch((error) => this.fail(error));
  }

  private send(body: Buffer, rest?: BodyStream): void {
    const { destination, exchange, meter } = this;
    const { verb } = this.question;
    if (this.clientGone || !destination || !meter) return;
    const { endpoint, revision, pinned, fallback } = destination;
    // a client's slow line is no fault of the revision
    this.began = performance.now();
    const call = {
      method: 'POST',
      path: typeof verb === 'string' ? meter.paths[verb] : verb.path,
      headers: forwardedHeaders(exchange),
      body,
      rest: rest && this.clocked(rest),
      trace: traceParent(exchange.header('traceparent')),
    };
    const asksTime = exchange.header(TIMEOUT_HEADER);
    const options = {
      timeoutMs: this.deadline === 0 ? this.timeoutMs(asksTime) : Math.max(1, this.deadline - this.began),
      idempotent: this.idempotent,
      clientsTime: asksTime !== undefined,
      elsewhere: fallback !== undefined,
    };
    if (fallback !== undefined) {
      this.deadline = this.began + options.timeoutMs;
      if (rest === undefined) this.body = body;
    }
    const codec = typeof verb === 'string' ? CODECS[verb] : undefined;
    const asked = { id: this.question.id, endpoint, revision, call, source: exchange, codec, pinned };
    this.prediction = startPrediction(this.plane, asked, options, this);
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

  /** Whether another revision is asked instead. */
  private fallBack(from: Destination, error: AppError): boolean {
    const { body, meter, plane } = this;
    const to = body && elsewhere(from, error, this.idempotent);
    if (!to || this.clientGone || performance.now() >= this.deadline) return false;
    if (to.revision.server !== undefined || from.revision.server !== undefined) {
      const { verb } = this.question;
      // the call was made for the one's model name, and the other's protocol
      if (typeof verb !== 'string' || !speaks(to.revision, verb)) return false;
    }
    meter?.fellBack(performance.now() - this.began, error.code);
    this.destination = to;
    this.meter = standIn(plane, to.revision, from.revision);
    try {
      this.send(body);
    } catch (thrown) {
      this.fail(thrown);
    }
    return true;
  }

  private get idempotent(): boolean {
    return this.exchange.header('sluice-idempotent') !== 'false';
  }

  private timeoutMs(asked: string | undefined): number {
    const { predictTimeoutMs } = this.plane.services.limits;
    return asked === undefined ? predictTimeoutMs : Math.min(predictTimeoutMs, readTimeout(asked));
  }
}

/** The forms of predictions whose answers may be kept. */
const CODECS: Readonly<Record<Verb, InferCodec | undefined>> = { infer: v2, predict: v1, explain: undefined };

/** The length of an answer that comes in pieces, as far as packing it goes. */
const LONG = Number.POSITIVE_INFINITY;

function packedHeaders(headers: HeaderFields, coding: Coding): HeaderFields {
  const { 'content-length': _, ...rest } = headers;
  return { ...rest, 'content-encoding': coding, vary: 'accept-encoding' };
}

function speaks({ server }: RevisionRoute, verb: Verb): boolean {
  if (!server) return true;
  try {
    refuseOtherProtocol(server, verb);
    return true;
  } catch {
    return false;
  }
}

function readTimeout(text: string): number {
  const value = readTimeoutHeader(text);
  if (value !== undefined) return value;
  throw new AppError(
    'invalid',
    `header sluice-timeout-ms is "${text.slice(0, 40)}", expected milliseconds, at least 1`,
  );
}
